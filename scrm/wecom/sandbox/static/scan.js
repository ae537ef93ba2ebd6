"use strict";

const configId = location.pathname.split("/").pop();
const said = document.querySelector("#said");

function say(text, title = "") {
  said.append(make("div", { className: "bubble" }, title ? make("b", {}, `${title}\n`) : "", text));
}

function attached(content) {
  return (content.attachments || []).map((one) => `\n[${one.msgtype}] ${(one[one.msgtype] || {}).title || ""}`).join("");
}

// The welcome message comes within twenty seconds, or never.
async function listen(externalUserid, seen) {
  for (let second = 0; second < 25; second += 1) {
    await new Promise((done) => setTimeout(done, 1000));
    const { sent } = await ask(`sent?to=${encodeURIComponent(externalUserid)}`);
    const fresh = sent.slice(seen);
    for (const one of fresh) say(one.content.text + attached(one.content), "收到消息");
    if (fresh.length) return;
  }
  say("没有收到欢迎语。");
}

async function start() {
  const way = await ask(`ways/${configId}`);
  document.querySelector("#whose").textContent =
    `${way.corp}：${way.members.join("、")}${way.count > way.members.length ? ` 等 ${way.count} 人` : ""}`;
  const who = picker("contact", "external_userid");
  document.querySelector("#who").append(who.node);
  const form = document.querySelector("#form");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.replaceChildren();
    try {
      const known = who.value();
      const before = known ? (await ask(`sent?to=${encodeURIComponent(known)}`)).sent.length : 0;
      const result = await act(way.act || "scan", { config_id: configId, external_userid: known, name: form.elements.name.value });
      form.elements.name.value = "";
      if ("chat_id" in result) return say(`已进群：${result.name}`);
      if ("is_half" in result) say(result.is_half ? "已添加，等待对方确认。" : "申请已发送，等待对方通过。");
      else say("你们已经是好友了。");
      return await listen(result.external_userid, before);
    } catch (error) {
      return say(error.message, "没有成功");
    }
  });
}

start().catch((error) => { document.querySelector("#whose").textContent = `二维码已失效（${error.message}）`; });
