// The rule builder of audiences: a tree of groups and conditions, its live count, and what is wrong where.
"use strict";

(function () {
  const source = document.getElementById("rule-data"), place = document.getElementById("rule");
  if (!source || !place) { return; }
  const data = JSON.parse(source.textContent), texts = data.texts;
  const form = document.getElementById("audience-form"), counter = document.getElementById("rule-count");
  const hidden = document.getElementById("rule-value");
  const fields = {};
  data.fields.forEach(function (field) { fields[field.key] = field; });
  let rule = data.rule, asking = null, timer = 0, number = 0;

  // --- elements ---

  function make(tag, attributes, children) {
    const element = document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) {
      if (name === "on") { Object.keys(attributes.on).forEach(function (event) { element.addEventListener(event, attributes.on[event]); }); }
      else if (name === "text") { element.textContent = attributes.text; }
      else if (name === "value") { element.value = attributes.value; }
      else if (attributes[name] !== false && attributes[name] !== null) { element.setAttribute(name, attributes[name]); }
    });
    (children || []).forEach(function (child) { element.appendChild(typeof child === "string" ? document.createTextNode(child) : child); });
    return element;
  }
  function choice(options, value, label, change, cls) {
    const select = make("select", { "aria-label": label, class: cls || null, on: { change: function () { change(select.value); } } });
    options.forEach(function (option) { select.appendChild(make("option", { value: option[0], text: option[1] })); });
    select.value = value;
    return select;
  }
  function quiet(text, click) { return make("button", { type: "button", class: "scrm-button scrm-button-quiet scrm-button-small", text: text, on: { click: click } }); }

  // --- the tree ---

  function fresh() {
    const field = data.fields.find(function (one) { return !one.hidden; });
    return prepared({ field: field.key });
  }
  function prepared(condition) {
    const field = fields[condition.field];
    const made = { field: field.key, is: field.operators[0] };
    if (field.kind === "PURCHASES") { made.measure = "orders"; made.days = 30; made.value = 1; }
    return withValue(made, field);
  }
  function withValue(condition, field) {
    const op = condition.is;
    if (["yes", "no", "known"].indexOf(op) >= 0) { delete condition.value; }
    else if (["any_of", "all_of", "none_of", "months"].indexOf(op) >= 0) { if (!Array.isArray(condition.value) || typeof condition.value[0] === "object") { condition.value = []; } }
    else if (op === "between") { condition.value = field.kind === "DATE" ? ["", ""] : [0, 0]; }
    else if (["within_days", "before_days", "not_within_days"].indexOf(op) >= 0) { condition.value = 30; }
    else if (op === "coming_days") { condition.value = 7; }
    else if (typeof condition.value !== "number") { condition.value = first(field, condition); }
    return condition;
  }
  function first(field, condition) { return field.kind === "MONEY" || condition.measure === "fen" ? 10000 : Math.max(field.least, 1); }
  function draw(focus, which) {
    place.textContent = "";
    place.appendChild(drawn(rule, [], null));
    if (focus) { const target = place.querySelector('[data-path="' + focus.join("-") + '"] ' + (which || "select")); if (target) { target.focus(); } }
    changed();
  }
  function drawn(node, path, parent) { return node.field === undefined ? group(node, path, parent) : row(node, path, parent); }
  function remove(parent, path) { parent.of.splice(path[path.length - 1], 1); draw(path.slice(0, -1)); }

  function group(node, path, parent) {
    const box = make("div", { class: "scrm-rule-group", role: "group", "aria-label": texts.of_group, "data-path": path.join("-"), "data-op": node.op });
    const head = make("div", { class: "scrm-rule-head" }, [
      choice(Object.entries(data.groups), node.op, texts.of_group, function (op) { node.op = op; box.dataset.op = op; changed(); }),
    ]);
    if (parent) { head.appendChild(make("button", { type: "button", class: "scrm-icon-button", text: texts.remove_group, on: { click: function () { remove(parent, path); } } })); }
    box.appendChild(head);
    node.of.forEach(function (child, index) { box.appendChild(drawn(child, path.concat(index), node)); });
    box.appendChild(make("div", { class: "scrm-rule-foot" }, [
      quiet("+ " + texts.add_condition, function () { node.of.push(fresh()); draw(path.concat(node.of.length - 1)); }),
      quiet("+ " + texts.add_group, function () { node.of.push({ op: node.op === "OR" ? "AND" : "OR", of: [fresh()] }); draw(path.concat(node.of.length - 1)); }),
    ]));
    return box;
  }

  function row(node, path, parent) {
    const field = fields[node.field];
    const box = make("div", { class: "scrm-rule-row", "data-path": path.join("-") });
    box.appendChild(fieldChoice(node, path, parent));
    if (field) {
      box.appendChild(choice(field.operators.map(function (op) { return [op, data.operators[op]]; }), node.is, texts.comparison, function (op) {
        node.is = op; withValue(node, field); draw(path, ".scrm-rule-operator");
      }, "scrm-rule-operator"));
      box.appendChild(make("div", { class: "scrm-rule-values" }, values(node, field, path)));
    }
    box.appendChild(make("button", { type: "button", class: "scrm-icon-button", text: "✕", title: texts.remove, "aria-label": texts.remove, on: { click: function () {
      remove(parent, path);
    } } }));
    return box;
  }
  function fieldChoice(node, path, parent) {
    const select = make("select", { "aria-label": texts.field, class: "scrm-rule-field", on: { change: function () {
      const made = prepared({ field: select.value });
      parent.of[path[path.length - 1]] = made;
      draw(path);
    } } });
    const groups = {};
    data.fields.forEach(function (field) {
      if (field.hidden) { return; }
      if (!groups[field.group]) { groups[field.group] = make("optgroup", { label: field.group }); select.appendChild(groups[field.group]); }
      groups[field.group].appendChild(make("option", { value: field.key, text: field.label }));
    });
    if (!fields[node.field]) { select.appendChild(make("option", { value: node.field, text: String(node.field) })); }
    select.value = node.field;
    return select;
  }

  // --- values ---

  function values(node, field, path) {
    if (field.kind === "PURCHASES") { return purchases(node, field, path); }
    return plain(node, field);
  }
  function plain(node, field) {
    const op = node.is, money = field.kind === "MONEY" || node.measure === "fen";
    if (["yes", "no", "known"].indexOf(op) >= 0) { return []; }
    if (op === "months") { return chips(node, "value", months(), false, ""); }
    if (["any_of", "all_of", "none_of"].indexOf(op) >= 0) { return chips(node, "value", field.options, field.remote, field.key); }
    if (op === "between" && field.kind === "DATE") { return dates(node, "value"); }
    const unit = money ? texts.yuan : /days/.test(op) ? texts.days : field.kind === "PURCHASES" ? (node.measure === "quantity" ? texts.pieces : texts.orders) : field.unit;
    if (op === "between") {
      return [amount(node.value[0], money, function (v) { node.value[0] = v; }), texts.to, amount(node.value[1], money, function (v) { node.value[1] = v; }), unit].map(asNode);
    }
    return [amount(node.value, money, function (v) { node.value = v; }), unit].map(asNode);
  }
  function asNode(one) { return typeof one === "string" ? document.createTextNode(one) : one; }
  // what is no number is sent as it was typed, and comes back as a problem at its place
  function amount(value, money, change) {
    const shown = money && typeof value === "number" ? Math.floor(value / 100) + (value % 100 ? "." + String(value % 100).padStart(2, "0") : "") : String(value);
    const input = make("input", { type: money ? "text" : "number", inputmode: money ? "decimal" : "numeric", "aria-label": texts.value, value: shown, on: { input: function () {
      const typed = input.value.trim();
      if (money) {
        const parts = /^(\d{1,11})(?:\.(\d{1,2}))?$/.exec(typed);
        change(parts ? Number(parts[1]) * 100 + Number(((parts[2] || "") + "00").slice(0, 2)) : typed);
      } else { change(/^\d{1,12}$/.test(typed) ? Number(typed) : typed); }
      changed();
    } } });
    return input;
  }
  function dates(node, name) {
    return [0, 1].map(function (index) {
      const input = make("input", { type: "date", "aria-label": index ? texts.to : texts.value, value: node[name][index], on: { change: function () { node[name][index] = input.value; changed(); } } });
      return input;
    }).reduce(function (all, one, index) { return index ? all.concat([document.createTextNode(texts.to), one]) : [one]; }, []);
  }
  function months() { return Array.from({ length: 12 }, function (_unused, index) { return [index + 1, (index + 1) + " " + texts.months]; }); }

  function chips(node, name, options, remote, key) {
    const box = make("span", { class: "scrm-rule-list" });
    const known = Object.assign({}, data.labels[key]);
    options.forEach(function (option) { known[option[0]] = option[1]; });
    function put(value, label) {
      known[value] = label;
      if (!Array.isArray(node[name])) { node[name] = []; }
      if (node[name].indexOf(value) < 0) { node[name].push(value); }
      fill(true);
      changed();
    }
    function fill(focus) {
      box.textContent = "";
      (node[name] || []).forEach(function (value) {
        box.appendChild(make("span", { class: "scrm-chip" }, [known[value] || "#" + value, make("button", { type: "button", text: "✕", "aria-label": texts.remove + " " + (known[value] || value), on: { click: function () {
          node[name] = node[name].filter(function (one) { return one !== value; });
          if (name !== "value" && !node[name].length) { delete node[name]; }
          fill(true); changed();
        } } })]));
      });
      const adder = remote ? lookup(key, put) : local(options.filter(function (option) { return (node[name] || []).indexOf(option[0]) < 0; }), put);
      box.appendChild(adder);
      if (focus) { (adder.tagName === "SELECT" ? adder : adder.querySelector("input")).focus(); }
    }
    fill(false);
    return [box];
  }
  function local(options, put) {
    return choice([["", texts.choose]].concat(options.map(function (option) { return [String(option[0]), option[1]]; })), "", texts.choose, function (value) {
      const found = options.find(function (option) { return String(option[0]) === value; });
      if (found) { put(found[0], found[1]); }
    });
  }
  function lookup(key, put) {
    const id = "options-" + (number += 1), list = make("datalist", { id: id });
    let found = [], wait = 0;
    const input = make("input", { type: "text", class: "scrm-rule-search", list: id, placeholder: texts.search, "aria-label": texts.search, autocomplete: "off", on: {
      input: function () {
        const hit = found.find(function (option) { return option[1] === input.value; });
        if (hit) { put(hit[0], hit[1]); return; }
        window.clearTimeout(wait);
        wait = window.setTimeout(function () { ask(input.value); }, 250);
      },
      focus: function () { if (!found.length) { ask(""); } },
      keydown: function (event) { if (event.key === "Enter") { event.preventDefault(); if (found.length) { put(found[0][0], found[0][1]); } } },
    } });
    function ask(term) {
      fetch(data.urls.options + "?field=" + encodeURIComponent(key) + "&q=" + encodeURIComponent(term), { credentials: "same-origin" })
        .then(function (answer) { return answer.ok ? answer.json() : { options: [] }; })
        .then(function (body) {
          found = body.options;
          list.textContent = "";
          found.forEach(function (option) { list.appendChild(make("option", { value: option[1] })); });
        });
    }
    return make("span", {}, [input, list]);
  }

  function purchases(node, field, path) {
    const fixed = Array.isArray(node.between);
    const parts = [];
    parts.push(choice([["days", texts.last_days], ["between", texts.fixed]], fixed ? "between" : "days", texts.window, function (kind) {
      if (kind === "days") { delete node.between; node.days = 30; } else { delete node.days; node.between = ["", ""]; }
      draw(path, ".scrm-rule-window");
    }, "scrm-rule-window"));
    if (fixed) { parts.push.apply(parts, dates(node, "between")); }
    else { parts.push(amount(node.days, false, function (v) { node.days = v; }), document.createTextNode(texts.days)); }
    parts.push(choice(Object.entries(data.measures), node.measure, texts.measure, function (measure) {
      node.measure = measure;
      node.value = node.is === "between" ? [0, 0] : first(field, node);
      draw(path, ".scrm-rule-measure");
    }, "scrm-rule-measure"));
    parts.push.apply(parts, plain(node, field));
    const more = make("details", { open: Object.keys(data.lists).some(function (name) { return node[name]; }) }, [make("summary", { text: texts.more })]);
    Object.keys(data.lists).forEach(function (name) {
      const one = fields[data.lists[name].field];
      more.appendChild(make("div", { class: "scrm-rule-list" }, [make("span", { text: data.lists[name].label })].concat(chips(node, name, one.options, one.remote, one.key))));
    });
    parts.push(more);
    return parts;
  }

  // --- the count ---

  function changed() {
    hidden.value = JSON.stringify(rule);
    window.clearTimeout(timer);
    if (asking) { asking.abort(); asking = null; }
    if (!rule.of.length) { mark([]); say("", texts.add_one); return; }
    counter.classList.add("is-busy");
    timer = window.setTimeout(count, 350);
  }
  function count() {
    const own = asking = new AbortController();
    if (!counter.textContent) { say("", texts.counting); }
    fetch(data.urls.count, {
      method: "POST", credentials: "same-origin", signal: own.signal,
      headers: { "Content-Type": "application/json", "X-CSRFToken": form.querySelector("[name=csrfmiddlewaretoken]").value },
      body: JSON.stringify({ rule: rule, audience: data.audience }),
    }).then(function (answer) {
      if (answer.redirected || (!answer.ok && answer.status !== 422)) { throw new Error(String(answer.status)); }
      return answer.json();
    }).then(function (body) {
      if (body.problems) { mark(body.problems); say("is-wrong", body.problems[0].message); return; }
      mark([]);
      counter.className = "scrm-builder-count";
      counter.textContent = "";
      if (body.is_estimate) { counter.appendChild(document.createTextNode("≈")); }
      counter.appendChild(make("b", { text: Number(body.members).toLocaleString("zh-CN") }));
      counter.appendChild(document.createTextNode(texts.members + (body.is_estimate ? texts.estimate : "")));
    }).catch(function (error) { if (error.name !== "AbortError") { say("is-wrong", texts.failed); } });
  }
  function say(kind, text) { counter.className = "scrm-builder-count " + kind; counter.textContent = text; }
  function mark(problems) {
    place.querySelectorAll(".is-wrong").forEach(function (one) { one.classList.remove("is-wrong"); });
    place.querySelectorAll(".scrm-rule-error").forEach(function (one) { one.remove(); });
    problems.forEach(function (problem) {
      const box = place.querySelector('[data-path="' + problem.path.join("-") + '"]');
      if (!box) { return; }
      box.classList.add("is-wrong");
      const text = make("p", { class: "scrm-rule-error", role: "alert", text: problem.message });
      const foot = box.querySelector(":scope > .scrm-rule-foot");
      if (foot) { box.insertBefore(text, foot); } else { box.appendChild(text); }
    });
  }

  if (!rule || (rule.field === undefined && !Array.isArray(rule.of))) { rule = { op: "AND", of: [] }; }
  if (rule.field !== undefined) { rule = { op: "AND", of: [rule] }; }
  draw(null);
  if (data.problems.length) { mark(data.problems); }
})();
