// Moves the bar of a running job and shows its result when it has ended. Background requests do not prolong a session.
"use strict";

(function () {
  const card = document.getElementById("job");
  if (!card) { return; }
  const bar = card.querySelector(".scrm-progress"), fill = bar.querySelector("i");
  const stage = card.querySelector("[data-stage]"), share = card.querySelector("[data-share]");
  let wait = 400;

  function show(state) {
    fill.style.width = state.share + "%";
    bar.setAttribute("aria-valuenow", state.share);
    share.textContent = state.share + "%";
    stage.textContent = state.stage;
  }
  function ask() {
    fetch(card.dataset.stateUrl, { headers: { "X-Background": "1" }, credentials: "same-origin" })
      .then(function (answer) {
        if (answer.redirected || answer.status === 403) { window.location.reload(); throw new Error("logged out"); }
        return answer.json();
      })
      .then(function (state) {
        show(state);
        if (!state.is_open) { window.location.reload(); return; }
        wait = Math.min(wait * 1.15, 2000);
        window.setTimeout(ask, wait);
      })
      .catch(function () { window.setTimeout(ask, 3000); });
  }
  window.setTimeout(ask, wait);
})();
