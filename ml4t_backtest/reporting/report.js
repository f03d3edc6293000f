// Draws the figures of the JSON block with Plotly, in the colours of the style sheet.
(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const charts = Array.from(document.querySelectorAll("[data-figure]"));
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };

  // A colour is written var(--name) in a figure; return the figure with what the style sheet says now.
  function painted(value, style) {
    if (typeof value === "string") {
      const name = /^var\((--[a-z-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => painted(each, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, painted(each, style)]));
  }

  function draw(chart) {
    const figure = painted(figures[chart.dataset.figure], getComputedStyle(document.documentElement));
    // A finger scrolls the page; only a mouse draws a zoom box.
    figure.layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    if (document.documentElement.classList.contains("printing")) figure.layout.width = chart.clientWidth;
    if (chart.classList.contains("log")) figure.layout.yaxis.type = "log";
    Plotly.react(chart, figure.data, figure.layout, config);
  }

  function drawAll() {
    charts.forEach(draw);
  }

  function print(starts) {
    document.documentElement.classList.toggle("printing", starts);
    drawAll();
  }

  document.querySelectorAll("button[data-log]").forEach((button) => {
    button.addEventListener("click", () => {
      const chart = document.querySelector('[data-figure="' + button.dataset.log + '"]');
      button.setAttribute("aria-pressed", String(chart.classList.toggle("log")));
      draw(chart);
    });
  });
  document.querySelectorAll("section select").forEach((select) => {
    const chart = select.closest("section").querySelector("[data-figure]");
    const choose = () => {
      chart.dataset.figure = select.value;
      draw(chart);
    };
    // A page that is gone back to remembers its choices.
    chart.dataset.figure = select.value;
    select.addEventListener("change", choose);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  drawAll();
})();
