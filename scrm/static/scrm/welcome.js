/* The preview of a welcome message: the text with example names, and how many of WeCom's bytes it takes. */
document.addEventListener("DOMContentLoaded", () => {
  const preview = document.getElementById("welcome-preview");
  const field = document.getElementById("id_text");
  if (!preview || !field) return;
  const example = JSON.parse(document.getElementById("welcome-example").textContent);
  const show = () => {
    let text = field.value;
    for (const [name, value] of Object.entries(example)) text = text.split(name).join(value);
    const bytes = new TextEncoder().encode(field.value).length;
    const most = Number(preview.dataset.most);
    preview.querySelector("p").textContent = text;
    const note = preview.querySelector("small");
    note.textContent = `${bytes} / ${most} ${preview.dataset.bytes} UTF-8`;
    note.classList.toggle("scrm-neg", bytes > most);
  };
  field.addEventListener("input", show);
  show();
});
