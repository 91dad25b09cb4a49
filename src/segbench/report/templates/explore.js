"use strict";
// The controls of "Explore": they fill its table and its chart, and filter all other tables.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const section = document.getElementById("explore");
  const form = section.querySelector("form");
  const { result, phase, size, measure } = form.elements;
  const body = document.getElementById("explored").tBodies[0];
  const boxes = new Map();
  let chart = null;

  // The same choice as before, where there still is one.
  function offer(select, options) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => value === before)) select.value = before;
  }

  const rowsOf = () => data.results[Number(result.value)].rows;
  const chosen = (row) => boxes.get(row.backend).checked;
  const short = (name) => (name.length > 45 ? `${name.slice(0, 44)}…` : name); // beside an axis
  const distinct = (values) => [...new Set(values)];

  function offerPhases() {
    const phases = distinct(rowsOf().map((row) => row.phase));
    const ranked = [...data.phases.filter((one) => phases.includes(one)), ...phases];
    offer(phase, distinct(ranked).map((one) => [one, one]));
  }

  function offerSizes() {
    const rows = rowsOf().filter((row) => row.phase === phase.value);
    const sizes = distinct(rows.map((row) => row.images)).sort((one, other) => one - other);
    offer(size, [["", "all"], ...sizes.map((one) => [String(one), String(one)])]);
    return sizes;
  }

  function fillTable(rows) {
    for (const head of document.querySelectorAll("#explored th[aria-sort]")) head.removeAttribute("aria-sort");
    body.replaceChildren(
      ...rows.map((row) => {
        const line = document.createElement("tr");
        data.columns.forEach((name, column) => {
          const cell = document.createElement(column ? "td" : "th");
          if (!column) cell.scope = "row";
          cell.textContent = row.cells[name].text;
          if (row.cells[name].value !== null) cell.dataset.value = row.cells[name].value;
          line.append(cell);
        });
        return line;
      }),
    );
  }

  // Columns for a chart: texts for what is shown beside a point, and `x`, `low`, `high`.
  function columns(rows, more) {
    const columns = {};
    for (const name of data.columns) columns[name] = rows.map((row) => row.cells[name].text);
    return Object.assign(columns, more);
  }

  function fillChart(rows, sizes) {
    if (!chart) return;
    const model = (name) => chart.get_model_by_name(name);
    const scale = measure.value === "seconds" ? 1e3 : 1;
    const label = measure.value === "seconds" ? "time of one call, ms" : "time relative to a plain loop";
    const drawn = rows.filter((row) => row[measure.value][0] !== null);
    // The median where there is no interval.
    const end = (values, which) => (values[which] ?? values[0]) * scale;
    const ends = (some, which) => some.map((row) => end(row[measure.value], which));
    const single = size.value !== "";
    model("sizes").visible = !single;
    model("one-size").visible = single;
    if (single) {
      const places = drawn.map((row) => short(row.backend));
      const looks = drawn.map((row) => data.looks.find((look) => look.backend === row.backend));
      model("one-factors").factors = distinct(places).reverse();
      model("one-axis").axis_label = label;
      model("one").data = columns(drawn, {
        x: ends(drawn, 0),
        low: ends(drawn, 1),
        high: ends(drawn, 2),
        place: places,
        colour: looks.map((look) => look.colour),
        shape: looks.map((look) => look.shape),
      });
      return;
    }
    model("sizes-ticks").ticks = sizes;
    model("sizes-axis").axis_label = label;
    data.looks.forEach((look, number) => {
      const own = drawn.filter((row) => row.backend === look.backend);
      model(`sizes-${number}`).data = columns(own, {
        x: own.map((row) => row.images),
        y: ends(own, 0),
        low: ends(own, 1),
        high: ends(own, 2),
      });
    });
  }

  // Rows of other tables go with their backend.
  function filterTables() {
    for (const table of document.querySelectorAll("table:not(#explored)")) {
      const rows = [...table.tBodies[0].rows];
      const hidden = rows.filter((row) => boxes.get(row.dataset.backend)?.checked === false);
      if (hidden.length) tables.separate(table);
      for (const row of rows) row.hidden = hidden.includes(row);
    }
  }

  function update() {
    offerPhases();
    const sizes = offerSizes();
    const inPhase = rowsOf().filter((row) => row.phase === phase.value && chosen(row));
    const rows = inPhase.filter((row) => size.value === "" || row.images === Number(size.value));
    fillTable(rows);
    fillChart(rows, sizes);
    filterTables();
  }

  function addBox({ backend, colour, symbol }) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.setAttribute("aria-hidden", "true");
    mark.style.color = colour;
    mark.textContent = symbol;
    label.append(box, mark, backend);
    form.querySelector("fieldset").append(label);
    boxes.set(backend, box);
  }

  async function start() {
    data.looks.forEach(addBox);
    offer(result, data.results.map((one, number) => [String(number), one.name]));
    offerPhases();
    if ([...phase.options].some((option) => option.value === "pipeline")) phase.value = "pipeline";
    form.addEventListener("change", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    section.hidden = false;
    update();
    if (data.chart) {
      await Bokeh.embed.embed_item(data.chart, "chart");
      chart = Bokeh.documents[0];
      update();
    } else {
      document.getElementById("chart").remove();
      measure.parentElement.remove();
    }
  }

  if (data.results.some((one) => one.rows.length)) start();
})();
