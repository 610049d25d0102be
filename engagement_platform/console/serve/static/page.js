// The page Now is live: parts that have changed come as server-sent events and are put in place of the old ones.
// Without this script the page is loaded anew every five seconds.
"use strict";

(() => {
  const live = document.querySelector("[data-events]");
  if (!live || !window.EventSource) return;
  const connection = document.getElementById("connection");
  const words = document.getElementById("connection-words");
  const asOf = document.getElementById("as-of");
  const announcement = document.getElementById("announcement");
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const LOST_AFTER = 6000; // the server says every two seconds at least that it lives
  const GONE_AFTER = 20000; // a connection whose other end went without a word is silent and open for ever

  let source = null;
  let heard = performance.now(); // when the last event came
  let age = 0; // of what is shown, in seconds, when it came
  let state = "";
  let connected = false; // since the page was loaded
  let tried = heard; // when the last connection was made

  function connect() {
    if (source) source.close();
    tried = performance.now();
    source = new EventSource(live.dataset.events);
    source.addEventListener("now", (event) => {
      const told = JSON.parse(event.data);
      for (const [id, html] of Object.entries(told.regions)) put(id, html);
      asOf.textContent = told.as_of;
      hear(told);
    });
    source.addEventListener("alive", (event) => hear(JSON.parse(event.data)));
    source.onerror = () => {
      // The browser connects again by itself, unless the server refused.
      if (source.readyState === EventSource.CLOSED) retry();
    };
  }

  let retrying = 0;
  function retry() {
    window.clearTimeout(retrying);
    retrying = window.setTimeout(() => !document.hidden && connect(), 2000);
  }

  function hear(told) {
    heard = performance.now();
    age = Math.max(0, told.sent - told.at);
    connected = true;
    look();
  }

  // What the connection is like; a screen reader hears of a change, not of each second.
  function look() {
    const silence = performance.now() - heard;
    const seconds = Math.round(age + silence / 1000);
    const isLost = silence > LOST_AFTER && !document.hidden;
    live.classList.toggle("lost", isLost);
    entitle(document.hidden ? live.dataset.name : isLost ? live.dataset.unknown : "");
    if (document.hidden) say("paused", live.dataset.paused);
    else if (silence > LOST_AFTER) say("lost", live.dataset.lost.replace("{age}", seconds));
    else if (age > 20) say("lost", live.dataset.old.replace("{age}", seconds));
    else if (connected) say("on", live.dataset.on);
    if (isLost && Math.min(silence, performance.now() - tried) > GONE_AFTER) connect();
  }

  // The title is seen where the page is not: it says nothing that may not be so any more.
  function entitle(other) {
    const title = other || live.querySelector("[data-title]").dataset.title;
    if (document.title !== title) document.title = title;
  }

  function say(next, text) {
    words.textContent = text;
    if (next === state) return;
    if (next === "lost") announce(text);
    else if (state === "lost") announce(announced);
    state = next;
    connection.className = `connection ${next}`;
  }

  let announced = "";
  function announce(text) {
    announcement.textContent = text;
  }

  function put(id, html) {
    const region = document.getElementById(id);
    const template = document.createElement("template");
    template.innerHTML = html;
    const before = places(region);
    morphChildren(region, template.content);
    move(region, before);
    if (id !== "sentence") return;
    const sentence = region.querySelector("[data-announce]");
    if (sentence.dataset.announce !== announced) {
      if (announced) announce(sentence.dataset.announce);
      announced = sentence.dataset.announce;
    }
  }

  // Change what is there into what should be, node by node: focus, opened details and running transitions stay.
  function morph(old, wanted) {
    if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName) {
      old.replaceWith(wanted.cloneNode(true));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!wanted.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    morphChildren(old, wanted);
  }

  function morphChildren(old, wanted) {
    const keyed = new Map([...old.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
    const next = [...wanted.childNodes];
    next.forEach((node, index) => {
      const key = node.dataset && node.dataset.key;
      const present = old.childNodes[index];
      const same = key && keyed.get(key);
      if (same && same !== present) old.insertBefore(same, present || null);
      const target = old.childNodes[index];
      if (!target || (key && !same)) old.insertBefore(node.cloneNode(true), target || null);
      else morph(target, node);
    });
    while (old.childNodes.length > next.length) old.lastChild.remove();
  }

  // Lines of the ranking glide to their new places.
  function places(region) {
    return new Map([...region.querySelectorAll("li[data-key]")].map((one) => [one, one.offsetTop]));
  }

  function move(region, before) {
    if (calm.matches) return;
    for (const [line, top] of before) {
      const by = line.isConnected ? top - line.offsetTop : 0;
      if (by) line.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 500, easing: "ease-out" });
    }
  }

  const first = live.querySelector("[data-announce]");
  announced = first ? first.dataset.announce : "";
  age = Math.max(0, Number(live.dataset.age));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else {
      heard = performance.now();
      connect();
    }
    look();
  });
  window.setInterval(look, 1000);
  look();
  if (!document.hidden) connect();
})();
