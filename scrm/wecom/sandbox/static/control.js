"use strict";

const $ = (selector) => document.querySelector(selector);
let state = null;
let panel = location.hash.slice(1) || "approaches";

function toast(text, isBad = false) {
  const box = $("#toast");
  box.textContent = text;
  box.className = isBad ? "shown bad" : "shown";
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.className = ""; }, 4000);
}

async function perform(one, values) {
  try {
    await act(one.name, values);
    toast(`${one.label}：完成`);
  } catch (error) {
    toast(`${one.label}：${error.message}`, true);
    return false;
  }
  await refresh();
  return true;
}

// --- a form for an act

function control(field, initial) {
  const value = initial ?? field.value ?? "";
  if (["member", "contact", "way", "tag"].includes(field.kind)) return picker(field.kind, field.name, value);
  if (field.kind === "choice") {
    const select = make("select", { name: field.name });
    for (const [key, label] of field.choices) select.append(make("option", { value: key }, label));
    return { node: select, value: () => select.value };
  }
  if (field.kind === "flag") {
    const box = make("input", { type: "checkbox", name: field.name, checked: Boolean(value) });
    return { node: box, value: () => box.checked };
  }
  const input = make("input", { name: field.name, value, autocomplete: "off" });
  if (field.kind === "number") input.inputMode = "decimal";
  return { node: input, value: () => input.value };
}

function open(one, given = {}) {
  if (!one.fields.length) return perform(one, {});
  const controls = one.fields.map((field) => [field, control(field, given[field.name])]);
  const form = $("#dialog form");
  form.replaceChildren(
    make("h2", {}, one.label),
    ...controls.map(([field, { node }]) => make("label", {}, field.label + (field.is_optional ? "（可不填）" : ""), node)),
    make("div", { className: "buttons" },
      make("button", { type: "button", onclick: () => $("#dialog").close() }, "取消"),
      make("button", { className: one.is_grave ? "grave" : "key" }, "确定")),
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(controls.map(([field, { value }]) => [field.name, value()]));
    if (await perform(one, values)) $("#dialog").close();
  };
  $("#dialog").showModal();
}

function press(button, row) {
  const one = state.acts.find((each) => each.name === button.act);
  const given = Object.fromEntries(Object.entries(button.values).map(([field, column]) => [field, row[column]]));
  const isComplete = one.fields.every((field) => given[field.name] !== undefined);
  if (!isComplete) return open(one, given);
  if (one.is_grave && !confirm(`${one.label}？`)) return undefined;
  return perform(one, given);
}

// --- the page

function showActs() {
  const groups = new Map();
  for (const one of state.acts) groups.set(one.group, [...(groups.get(one.group) || []), one]);
  $("#acts").replaceChildren(...[...groups].map(([group, those]) =>
    make("details", { open: group === "客户" || group === "导购" }, make("summary", {}, group),
      ...those.map((one) => make("button", { type: "button", className: one.is_grave ? "grave" : "", onclick: () => open(one) }, one.label)))));
}

function showTabs() {
  $("#tabs").replaceChildren(...state.panels.map((one) =>
    make("button", {
      type: "button", role: "tab", ariaSelected: String(one.name === panel),
      onclick: () => { panel = one.name; history.replaceState(null, "", `#${panel}`); showTabs(); showRows(); },
    }, one.title)));
}

function cell(name, value) {
  if (value === null || value === undefined || value === "") return make("td", {});
  if (name === "at" || name.endsWith("_at")) return make("td", {}, time.format(new Date(value * 1000)));
  if (name === "url") return make("td", {}, make("a", { href: value, target: "_blank" }, "打开"));
  return make("td", {}, String(value));
}

async function showRows() {
  const one = state.panels.find((each) => each.name === panel) || state.panels[0];
  const asked = $("#search").value;
  const { rows } = await ask(`panels/${one.name}?q=${encodeURIComponent(asked)}`);
  if (asked !== $("#search").value || one.name !== panel) return; // somebody went on
  $("#hint").textContent = one.hint;
  const hasActs = one.buttons.length > 0;
  $("thead").replaceChildren(make("tr", {}, ...one.columns.map(([, title]) => make("th", {}, title)), ...(hasActs ? [make("th")] : [])));
  $("tbody").replaceChildren(...rows.map((row) => make("tr", {},
    ...one.columns.map(([name]) => cell(name, row[name])),
    ...(hasActs ? [make("td", { className: "acts" }, ...one.buttons.map((button) =>
      make("button", { type: "button", onclick: () => press(button, row) }, button.label)))] : []))));
  if (!rows.length) $("tbody").append(make("tr", {}, make("td", { className: "empty", colSpan: one.columns.length + 1 }, "还没有")));
}

function showHead() {
  $("#corp").textContent = `${state.corp.name} ${state.corp.id}`;
  const ahead = Math.round(state.ahead / 60);
  $("#clock").textContent = `${time.format(new Date(state.now * 1000))}${ahead ? `（快 ${ahead} 分钟）` : ""}`;
  const { members, contacts, friends, ways, waiting, faults } = state.counts;
  $("#counts").textContent =
    `员工 ${members} · 客户 ${contacts} · 好友 ${friends} · 活码 ${ways} · 待送达事件 ${waiting}${faults ? ` · 故障 ${faults}` : ""}`;
  $("#apps").replaceChildren(...state.apps.map((app) => make("li", { className: !app.url ? "" : app.is_active ? "good" : "bad" },
    `${app.name}${app.agent_id ? `（${app.agent_id}）` : ""}：${!app.url ? "不接收事件" : app.is_active ? "回调正常" : `回调未启用 ${app.error}`}`)));
}

async function refresh() {
  state = await ask("state");
  showHead();
  await showRows();
}

async function start() {
  state = await ask("state");
  if (!state.panels.some((one) => one.name === panel)) panel = state.panels[0].name;
  showActs();
  showTabs();
  await refresh();
  $("#search").addEventListener("input", showRows);
  for (const button of document.querySelectorAll("[data-seconds]")) {
    button.addEventListener("click", () => perform({ name: "advance", label: "拨快时钟" }, { seconds: Number(button.dataset.seconds) }));
  }
  setInterval(() => { if (!document.hidden && !$("#dialog").open) refresh().catch(() => {}); }, 2000);
}

start().catch((error) => toast(error.message, true));
