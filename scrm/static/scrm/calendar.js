// The calendar by the arrow keys: left and right between days, up and down between entries of a day. Without it, Tab goes
// through the same links.
"use strict";

(function () {
  const links = (cell) => [...cell.querySelectorAll("a")];

  function beside(cell, step) {
    for (let next = cell; next;) {
      next = step > 0 ? next.nextElementSibling : next.previousElementSibling;
      if (next && links(next).length) { return next; }
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
