// A page that shows work under way reads itself again while somebody looks at it. It does not count as a click: a page left
// open keeps nobody logged in.
"use strict";

(function () {
  const SECONDS = 5;
  const cards = () => document.querySelectorAll(".scrm-card");

  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelectorAll(".scrm-card");
    const shown = cards();
    if (fresh.length !== shown.length) { window.location.reload(); return; } // logged out, or another page by now
    shown.forEach((card, place) => card.replaceWith(fresh[place]));
  }

  setInterval(() => {
    if (document.hidden) { return; }
    fetch(window.location.href, { headers: { "X-Background": "1" }, credentials: "same-origin" })
      .then((answer) => answer.text()).then(take).catch(() => {}); // away for a moment: the next round asks again
  }, SECONDS * 1000);
}());
