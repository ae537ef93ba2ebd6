// The calendar by the arrow keys: left and right between days (in a month from Sunday on to Monday), up and down between
// entries of a day and weeks. Without it, Tab goes through the same links.
"use strict";

(function () {
  const links = (cell) => [...cell.querySelectorAll("a")];

  function beside(cell, step) {
    const row = cell.closest("tr"), isMonth = cell.closest(".scrm-cal-month");
    const days = [...(isMonth ? row.parentElement : row).querySelectorAll("td")];
    for (let place = days.indexOf(cell) + step; days[place]; place += step) {
      if (links(days[place]).length) { return days[place]; }
    }
    return null;
  }

  function below(cell, step) {
    for (let row = cell.parentElement; row;) {
      row = step > 0 ? row.nextElementSibling : row.previousElementSibling;
      if (row && row.cells[cell.cellIndex] && links(row.cells[cell.cellIndex]).length) { return row.cells[cell.cellIndex]; }
    }
    return null;
  }

  function target(link, key) {
    const cell = link.closest("td"), own = links(cell), place = own.indexOf(link);
    if (key === "ArrowDown") { const down = below(cell, 1); return own[place + 1] || (down && links(down)[0]); }
    if (key === "ArrowUp") { const up = below(cell, -1); return own[place - 1] || (up && links(up).pop()); }
    const next = key === "ArrowRight" ? beside(cell, 1) : key === "ArrowLeft" ? beside(cell, -1) : null;
    return next && (links(next)[Math.min(place, links(next).length - 1)]);
  }

  document.querySelectorAll("[data-calendar]").forEach((table) => table.addEventListener("keydown", (event) => {
    const link = event.target.closest("td a");
    const next = link && target(link, event.key);
    if (next) { event.preventDefault(); next.focus(); }
  }));
}());
