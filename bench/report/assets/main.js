/* Start: everything above waits for a dataset to be chosen; pictures follow in the file. */
document.addEventListener("DOMContentLoaded", () => {
  const select = core.$("#dataset");
  select?.addEventListener("change", () => core.chooseDataset(Number(select.value)));
  core.chooseDataset(select ? Number(select.value) : 0);
  address.start();
  document.documentElement.dataset.ready = "yes";
});
