// A page that shows work under way reads itself again while somebody looks at it. It does not count as a click: a page left
// open keeps nobody logged in.
"use strict";

(function () {
  const SECONDS = 5;
  const PARTS = ".scrm-card, .scrm-tiles:not(.scrm-card *)"; // the figures with the cards, or they contradict each other

  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelectorAll(PARTS);
    const shown = document.querySelectorAll(PARTS);
    if (fresh.length !== shown.length) { window.location.reload(); return; } // logged out, or another page by now
    shown.forEach((part, place) => part.replaceWith(fresh[place]));
  }

  setInterval(() => {
    if (document.hidden) { return; }
    fetch(window.location.href, { headers: { "X-Background": "1" }, credentials: "same-origin" })
      .then((answer) => answer.text()).then(take).catch(() => {}); // away for a moment: the next round asks again
  }, SECONDS * 1000);
}());
