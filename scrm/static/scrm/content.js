/* The preview of a material: what the customer sees, while it is written. */
document.addEventListener("DOMContentLoaded", () => {
  const preview = document.getElementById("content-preview");
  if (!preview) return;
  const saved = JSON.parse(document.getElementById("content-said").textContent);
  const field = (name) => document.getElementById(`id_${name}`);
  const value = (name) => (field(name) ? field(name).value : saved[name] || "");
  const part = (name) => preview.querySelector(`[data-part="${name}"]`);
  let chosen = null; // the address of a picture that is not uploaded yet

  const kindsOf = {
    TEXT: ["text"], IMAGE: ["text", "file"], LINK: ["text", "title", "description", "url", "file"],
    MINI_PROGRAM: ["text", "title", "app_id", "page", "file"], VIDEO: ["text", "file"], FILE: ["text", "file"],
  };
  const rowOf = (name) => {
    const input = field(name);
    return input && (input.closest(`.field-${name}`) || input.closest(".form-row"));
  };
  const put = (node, text) => { node.textContent = text; node.hidden = !text; };
  const picture = (node, address) => {
    if (address) node.src = address;
    node.hidden = !address;
  };

  const show = () => {
    const kind = value("kind") || saved.kind;
    for (const name of ["text", "title", "description", "url", "app_id", "page", "file"]) {
      const row = rowOf(name);
      if (row) row.hidden = Boolean(kind) && !kindsOf[kind].includes(name);
    }
    const file = field("file") && field("file").files && field("file").files[0];
    const name = file ? file.name : saved.file;
    const address = chosen || saved.picture;
    const isCard = kind === "LINK" || kind === "MINI_PROGRAM";
    put(part("text"), value("text"));
    picture(part("picture"), kind === "IMAGE" ? address : "");
    const card = part("card");
    card.hidden = !isCard || !(value("title") || value("url") || value("page"));
    card.querySelector("b").textContent = value("title");
    card.querySelector("p").textContent = kind === "LINK" ? value("description") : "";
    card.querySelector("small").textContent = kind === "LINK" ? value("url") : value("page");
    picture(card.querySelector("img"), isCard ? address : "");
    put(part("file"), kind === "VIDEO" || kind === "FILE" ? name : "");
    const shown = ["text", "picture", "card", "file"].some((each) => !part(each).hidden);
    put(part("empty"), shown ? "" : preview.dataset.empty);
    const bytes = new TextEncoder().encode(value("text")).length;
    const note = preview.querySelector("h2 small");
    note.textContent = `${bytes} / ${preview.dataset.most} ${preview.dataset.bytes} UTF-8`;
    note.classList.toggle("scrm-neg", bytes > Number(preview.dataset.most));
  };

  const input = field("file");
  if (input) {
    input.addEventListener("change", () => {
      if (chosen) URL.revokeObjectURL(chosen);
      const file = input.files[0];
      chosen = file && file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
      show();
    });
  }
  document.addEventListener("input", show);
  document.addEventListener("change", show);
  show();
});
