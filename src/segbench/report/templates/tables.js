"use strict";
// Sorting and copying of the tables of a page. Without this they are tables all the same.
const tables = (() => {
  const FORMULA = /^[=+\-@]/; // a spreadsheet would compute what begins so
  const spoken = document.getElementById("told");

  // What a cell is sorted by: its number, or else its text.
  const key = (cell) =>
    cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);

  // Numbers come first in either direction: what has none is a gap, or a status.
  function order(one, other, sign) {
    const numbers = [one, other].map((value) => typeof value === "number");
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
    return sign * (numbers[0] ? one - other : one.localeCompare(other));
  }

  // Rows that share a heading get one each: they will no longer be together.
  function separate(table) {
    let heading = null;
    for (const row of table.tBodies[0].rows) {
      if (row.cells[0]?.tagName === "TH") {
        heading = row.cells[0];
        heading.removeAttribute("rowspan");
      } else if (heading) {
        row.prepend(heading.cloneNode(true));
      }
    }
  }

  function sort(table, column) {
    const heads = [...table.tHead.rows[0].cells];
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    separate(table);
    const keyed = [...table.tBodies[0].rows].map((row) => [key(row.cells[column]), row]);
    keyed.sort(([one], [other]) => order(one, other, descending ? -1 : 1));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  // The texts of what is shown.
  function texts(table) {
    separate(table);
    const rows = [table.tHead.rows[0], ...table.tBodies[0].rows].filter((row) => !row.hidden);
    return rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim().replace(/\s+/g, " ")));
  }

  function csv(rows) {
    const cell = (text) => {
      const safe = FORMULA.test(text) ? `'${text}` : text;
      return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    return rows.map((row) => row.map(cell).join(",") + "\n").join("");
  }

  function markdown(rows) {
    const cell = (text) =>
      text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replace(/[\\|`*_[\]~#>]/g, "\\$&");
    const lines = rows.map((row) => `| ${row.map(cell).join(" | ")} |\n`);
    lines.splice(1, 0, `|${" --- |".repeat(rows[0].length)}\n`);
    return lines.join("");
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not allowed on this page, or an older browser.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function button(text, name, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    if (name) made.setAttribute("aria-label", `${text}: ${name}`);
    made.addEventListener("click", act);
    return made;
  }

  function enhance(table) {
    const name = table.caption.textContent;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const text = head.textContent;
      head.textContent = "";
      head.append(button(text, "", () => sort(table, column)));
    });
    const tools = document.createElement("p");
    tools.className = "tools";
    for (const [format, write] of [["CSV", csv], ["Markdown", markdown]]) {
      const made = button(`Copy as ${format}`, name, async () => {
        await copy(write(texts(table)));
        made.focus();
        spoken.textContent = "";
        spoken.textContent = `Copied as ${format}: ${name}`;
        made.classList.add("done");
        setTimeout(() => made.classList.remove("done"), 2000);
      });
      tools.append(made);
    }
    if (!table.classList.contains("answer")) table.parentElement.after(tools);
  }

  for (const table of document.querySelectorAll("table")) enhance(table);

  // What is referred to, or printed, is to be seen.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target?.closest("details:not([open])");
    if (!closed) return;
    closed.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
  reveal();
  return { separate };
})();
