"use strict";
// The choices above the table of all results hide the rows that differ from them.
(() => {
  const form = document.getElementById("filters");
  const table = form.parentElement.querySelector("#filters ~ .scroll table");
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  const text = (cell) => cell.textContent.trim().replace(/\s+/g, " ");
  tables.separate(table);
  const rows = [...table.tBodies[0].rows];

  function filter() {
    const wanted = [...form.elements].filter((select) => select.value);
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted.some((select) => text(row.cells[heads.indexOf(select.name)]) !== select.value);
      shown += row.hidden ? 0 : 1;
    }
    document.getElementById("told").textContent = `${shown} of ${rows.length} results`;
  }

  for (const select of form.elements) {
    const cells = rows.map((row) => row.cells[heads.indexOf(select.name)]);
    const values = new Map(cells.map((cell) => [text(cell), Number(cell.dataset.value)]));
    const ordered = [...values].sort(([, one], [, other]) => one - other || 0);
    for (const [value] of ordered) select.append(new Option(value, value));
  }
  form.addEventListener("change", filter);
  form.hidden = false;
  // What people ask about first: from files to cells.
  const asked = [...form.elements.Phase.options].find((one) => one.value === "pipeline");
  if (asked) form.elements.Phase.value = asked.value;
  filter();
})();
