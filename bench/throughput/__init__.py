"""Speed, alone on the machine: what ``bench throughput`` measures and writes.

Every codec runs in fresh processes of its own (``worker``), pinned to the cores that it may use, so
that start-up, peak memory and thread count are its own. The parent drives them pass by pass
(``worker_pool``), decides when they are warm and how often to repeat (``sampling``), and turns
passes into rows (``rows``), tables and plots. A pass codes a fixed list of images once.

``encode`` and ``decode`` go from memory to memory: pixels to the bytes of a file and back. Reading
and writing files are the phases ``load`` and ``write``, and are in no MP/s.
"""
