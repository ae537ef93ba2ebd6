/* The preview of a script: the server fills the slots for the member named, and says why this level was taken. */
document.addEventListener("DOMContentLoaded", () => {
  const preview = document.getElementById("script-preview");
  if (!preview) return;
  const form = document.getElementById("script_form");
  const member = document.getElementById("script-member");
  const part = (name) => preview.querySelector(`[data-part="${name}"]`);
  const put = (name, text) => { part(name).textContent = text || ""; if (name !== "why" && name !== "member") part(name).hidden = !text; };
  let last = null; // the text field the cursor was in
  let running = 0;

  const show = async () => {
    const asked = new FormData();
    for (const [name, value] of new FormData(form)) {
      if (/^(level_\d|product|category|occasion|arrived_on|csrfmiddlewaretoken)$/.test(name)) asked.append(name, value);
    }
    asked.append("member", member.value);
    const number = ++running;
    const answer = await fetch(preview.dataset.url, { method: "POST", body: asked, credentials: "same-origin" });
    if (number !== running) return; // a newer one is on its way
    const said = answer.headers.get("Content-Type")?.startsWith("application/json") ? await answer.json() : {};
    put("member", said.member);
    put("text", said.text);
    put("error", said.error);
    put("empty", said.empty);
    put("why", said.why);
  };

  let timer = null;
  const soon = () => { clearTimeout(timer); timer = setTimeout(show, 400); };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  form.addEventListener("focusin", (event) => { if (event.target.id.startsWith("id_level_")) last = event.target; });
  preview.querySelector("button").addEventListener("click", show);
  member.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); show(); } });
  for (const button of document.querySelectorAll("[data-slot]")) {
    button.addEventListener("click", () => {
      const field = last || document.getElementById("id_level_1");
      field.setRangeText(`{${button.dataset.slot}}`, field.selectionStart, field.selectionEnd, "end");
      field.focus();
      soon();
    });
  }
  soon();
});
