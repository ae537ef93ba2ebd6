// Draws the charts of a page from the JSON in #chart-data: {id of the place: {names, series, unit, stack}}.
"use strict";

(function () {
  const source = document.getElementById("chart-data");
  if (!source || !window.echarts) { return; }
  const data = JSON.parse(source.textContent);
  const charts = [];
  const palette = ["#1d64d8", "#2aa876", "#f0a33f", "#8a63d2", "#5aa9e6", "#e2605b", "#7a8aa0"];

  function isDark() { return document.documentElement.classList.contains("dark"); }
  function ink() { return isDark() ? "#94a3b8" : "#64748b"; }
  function rule() { return isDark() ? "#2b3648" : "#e9edf3"; }
  function short(value) {
    const size = Math.abs(value);
    if (size >= 1e8) { return (value / 1e8).toFixed(1) + "亿"; }
    if (size >= 1e4) { return (value / 1e4).toFixed(size >= 1e6 ? 0 : 1) + "万"; }
    return String(Math.round(value * 100) / 100);
  }
  function full(value) { return Number(value).toLocaleString("zh-CN", { maximumFractionDigits: 2 }); }
  function axis(more) {
    return Object.assign({
      axisLine: { lineStyle: { color: rule() } }, axisTick: { show: false }, axisLabel: { color: ink() },
      splitLine: { lineStyle: { color: rule() } },
    }, more);
  }
  function series(one, chart) {
    const more = one.type === "bar" ? { barMaxWidth: 28, itemStyle: { borderRadius: chart.stack ? 0 : [3, 3, 0, 0] } } : { showSymbol: chart.names.length < 2 };
    return Object.assign(more, chart.stack ? { stack: "all" } : {}, one);
  }
  Object.keys(data).forEach(function (id) {
    const place = document.getElementById(id), chart = data[id];
    if (!place) { return; }
    const drawn = window.echarts.init(place, null, { renderer: "canvas" });
    const value = chart.unit === "percent"
      ? axis({ type: "value", max: 100, axisLabel: { color: ink(), formatter: "{value}%" } })
      : axis({ type: "value", minInterval: chart.unit === "yuan" ? 0 : 1, axisLabel: { color: ink(), formatter: short } });
    drawn.setOption({
      animationDuration: 300, textStyle: { fontFamily: "inherit" }, color: palette,
      tooltip: { trigger: "axis", confine: true, axisPointer: { type: "shadow" }, valueFormatter: chart.unit === "percent" ? function (v) { return full(v) + "%"; } : full },
      legend: { show: chart.series.length > 1, top: 0, right: 0, type: "scroll", textStyle: { color: ink() }, itemWidth: 14, itemHeight: 8 },
      grid: { left: 8, right: 8, top: 40, bottom: 4, containLabel: true },
      xAxis: chart.horizontal ? value : axis({ type: "category", data: chart.names, splitLine: { show: false }, axisLabel: { color: ink(), hideOverlap: true, rotate: chart.names.length > 8 && chart.names.some(function (n) { return n.length > 8; }) ? 35 : 0 } }),
      yAxis: chart.horizontal ? axis({ type: "category", inverse: true, data: chart.names, splitLine: { show: false }, axisLabel: { color: ink(), width: 150, overflow: "break" } }) : value,
      series: chart.series.map(function (one) { return series(one, chart); }),
    });
    charts.push(drawn);
  });
  window.addEventListener("resize", function () { charts.forEach(function (chart) { chart.resize(); }); });
})();
