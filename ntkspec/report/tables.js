"use strict";
(function () {
  // A long table of many snapshots gets a choice of one; without this script it shows all of them.
  for (const table of document.querySelectorAll("table.by-snapshot")) {
    const rows = [...table.tBodies[0].rows];
    const names = [...new Set(rows.map((row) => row.dataset.snapshot))];
    if (names.length <= 3) continue;
    const label = document.createElement("label");
    const select = document.createElement("select");
    const add = (value, text) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      select.append(option);
    };
    add("all", `all ${names.length}`);
    names.forEach((name, i) => add(String(i), name));
    select.value = table.classList.contains("last-first") ? String(names.length - 1) : "all";
    const show = () => {
      for (const row of rows) row.hidden = select.value !== "all" && row.dataset.snapshot !== names[Number(select.value)];
    };
    select.addEventListener("change", show);
    label.className = "pick";
    label.append("Snapshot ", select);
    table.parentElement.before(label);
    show();
  }
})();
