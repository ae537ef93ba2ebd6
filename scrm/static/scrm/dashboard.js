// Draws the charts of the start page from the JSON in #chart-data; submits the scope switch when it changes.
"use strict";

(function () {
  const form = document.getElementById("scope-form");
  if (form) {
    form.addEventListener("change", function () { form.submit(); });
  }
  const source = document.getElementById("chart-data");
  if (!source || !window.echarts) { return; }
  const data = JSON.parse(source.textContent);
  const charts = [];
  const blue = "#1d64d8", sky = "#5aa9e6", green = "#2aa876";
  const palette = [blue, green, "#f0a33f", "#8a63d2", sky, "#e2605b", "#7a8aa0"];

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
  function draw(id, option) {
    const place = document.getElementById(id);
    if (!place) { return; }
    const chart = window.echarts.init(place, null, { renderer: "canvas" });
    chart.setOption(Object.assign({ animationDuration: 300, textStyle: { fontFamily: "inherit" }, color: palette }, option));
    charts.push(chart);
  }
  function portion(name) {
    const whole = data.channels.reduce(function (sum, row) { return sum + row.value; }, 0);
    const row = data.channels.find(function (each) { return each.name === name; });
    return whole && row ? name + " " + (100 * row.value / whole).toFixed(1) + "%" : name;
  }
  const tip = { trigger: "axis", valueFormatter: full, confine: true };
  const legend = { top: 0, right: 0, textStyle: { color: ink() }, itemWidth: 14, itemHeight: 8 };

  draw("chart-trend", {
    tooltip: tip, legend: legend, grid: { left: 8, right: 8, top: 40, bottom: 4, containLabel: true },
    xAxis: axis({ type: "category", data: data.trend.days, splitLine: { show: false } }),
    yAxis: [axis({ type: "value", axisLabel: { color: ink(), formatter: short } }),
            axis({ type: "value", minInterval: 1, splitLine: { show: false }, axisLabel: { color: ink(), formatter: short } })],
    series: [
      { name: data.trend.names[0], type: "bar", data: data.trend.gmv, barMaxWidth: 18, itemStyle: { borderRadius: [3, 3, 0, 0] } },
      { name: data.trend.names[1], type: "line", yAxisIndex: 1, data: data.trend.orders, smooth: false, showSymbol: false, color: "#f0a33f" },
    ],
  });
  draw("chart-channels", {
    tooltip: { trigger: "item", valueFormatter: full, confine: true },
    legend: { top: "bottom", left: "center", textStyle: { color: ink() }, itemWidth: 10, itemHeight: 10, formatter: portion },
    series: [{ type: "pie", radius: ["50%", "76%"], center: ["50%", "41%"], data: data.channels, label: { show: false },
      itemStyle: { borderColor: isDark() ? "#111927" : "#fff", borderWidth: 2 } }],
  });
  const label = { show: true, position: "right", color: ink(), formatter: function (bar) { return short(bar.value); } };
  draw("chart-regions", {
    tooltip: Object.assign({}, tip, { axisPointer: { type: "shadow" } }), legend: legend,
    grid: { left: 8, right: 64, top: 36, bottom: 4, containLabel: true },
    xAxis: axis({ type: "value", axisLabel: { color: ink(), formatter: short } }),
    yAxis: axis({ type: "category", inverse: true, data: data.regions.names, splitLine: { show: false } }),
    series: [
      { name: data.regions.legend[0], type: "bar", data: data.regions.gmv, barMaxWidth: 16, itemStyle: { borderRadius: [0, 3, 3, 0] }, label: label },
      { name: data.regions.legend[1], type: "bar", data: data.regions.accrued, barMaxWidth: 16, itemStyle: { borderRadius: [0, 3, 3, 0] }, label: label },
    ],
  });
  window.addEventListener("resize", function () { charts.forEach(function (chart) { chart.resize(); }); });
})();
