"use strict";
// What both pages need: calls of the sandbox's own API, elements, and inputs that look things up.

async function ask(path) {
  const answer = await fetch(`/sandbox/api/${path}`);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || answer.status);
  return said;
}

async function act(name, values) {
  const answer = await fetch(`/sandbox/api/acts/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sandbox": "1" },
    body: JSON.stringify(values),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || answer.status);
  return said.result;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const time = new Intl.DateTimeFormat("zh-CN", {
  timeZone: "Asia/Shanghai", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

// An input whose choices come from the sandbox; what is written must be one of them.
function picker(kind, name, initial = "") {
  const list = make("datalist", { id: `list-${name}` });
  const input = make("input", { name, autocomplete: "off", placeholder: "输入名字查找" });
  input.setAttribute("list", list.id);
  let known = new Map();
  async function fill() {
    const { found } = await ask(`find/${kind}?q=${encodeURIComponent(input.value)}`);
    known = new Map([...known, ...found.map((one) => [one.label, one.value])]);
    list.replaceChildren(...found.map((one) => make("option", { value: one.label })));
    return found;
  }
  input.addEventListener("input", () => { if (!known.has(input.value)) fill(); });
  input.addEventListener("focus", fill, { once: true });
  if (initial) {
    known.set(initial, initial);
    input.value = initial;
    fill().then((found) => {
      const one = found.find((each) => each.value === initial);
      if (one) input.value = one.label;
    });
  }
  return { node: make("span", {}, input, list), value: () => known.get(input.value) || input.value };
}
