// What a page does beyond links and forms: the key `/`, drawing over the chart, and live numbers.
// Everything can be read and chosen without it.
"use strict";
(() => {
  const search = document.getElementById("search");

  const takesText = (target) =>
    target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !takesText(event.target)) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });

  // A drawing over the chart selects its time.
  let drawing = null;

  const slotAt = (chart, x) => {
    const box = chart.getBoundingClientRect();
    const slots = Number(chart.dataset.slots);
    const slot = Math.floor(((x - box.left) / box.width) * slots);
    return Math.min(slots - 1, Math.max(0, slot));
  };

  const draw = () => {
    const from = Math.min(drawing.begin, drawing.now);
    const until = Math.max(drawing.begin, drawing.now) + 1;
    const width = drawing.chart.viewBox.baseVal.width / Number(drawing.chart.dataset.slots);
    drawing.shape.setAttribute("x", from * width);
    drawing.shape.setAttribute("width", (until - from) * width);
  };

  document.addEventListener("pointerdown", (event) => {
    const chart = event.target.closest?.("svg.bars");
    if (!chart || event.button !== 0) return;
    const slot = slotAt(chart, event.clientX);
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    shape.setAttribute("class", "drawn");
    shape.setAttribute("height", "100%");
    drawing = { chart, shape, begin: slot, now: slot };
  });

  document.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    drawing.now = slotAt(drawing.chart, event.clientX);
    if (drawing.now !== drawing.begin) {
      drawing.chart.append(drawing.shape);
      draw();
    }
  });

  document.addEventListener("pointerup", () => {
    const done = drawing;
    drawing = null;
    if (!done || done.now === done.begin) {
      done?.shape.remove();
      return;
    }
    const first = Number(done.chart.dataset.first);
    const step = Number(done.chart.dataset.step);
    const to = new URL(location.href);
    to.searchParams.set("from", first + Math.min(done.begin, done.now) * step);
    to.searchParams.set("until", first + (Math.max(done.begin, done.now) + 1) * step);
    to.searchParams.delete("page");
    // The click that follows would open the link of one bar.
    const stop = (event) => event.preventDefault();
    done.chart.addEventListener("click", stop, { capture: true, once: true });
    location.assign(to);
  });

  document.addEventListener("pointercancel", () => {
    drawing?.shape.remove();
    drawing = null;
  });

  document.addEventListener("dragstart", (event) => {
    if (event.target.closest?.("svg.bars")) event.preventDefault();
  });

  // Live numbers: the page is loaded again, and the parts that differ are replaced.
  const inUse = (part) => {
    const chosen = getSelection();
    const isChosen = chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode);
    const focus = document.activeElement;
    // An open form must not move to another row.
    if (part.querySelector("details.change[open]")) return true;
    return isChosen || (focus !== document.body && part.contains(focus)) || (drawing && part.contains(drawing.chart));
  };

  const rowsOf = (part) =>
    new Map([...part.querySelectorAll("tbody tr")].map((row) => [row.querySelector("th a")?.getAttribute("href"), row.textContent]));

  const replace = (old, next) => {
    if (old.outerHTML === next.outerHTML || inUse(old)) return;
    const before = rowsOf(old);
    const open = [...old.querySelectorAll("details")].map((part) => part.open);
    next.querySelectorAll("details").forEach((part, number) => (part.open = open[number] ?? part.open));
    for (const row of next.querySelectorAll("tbody tr")) {
      const key = row.querySelector("th a")?.getAttribute("href");
      if (key && before.get(key) !== row.textContent) row.classList.add("fresh");
    }
    old.replaceWith(document.adoptNode(next));
  };

  // The session of this page may end while the page is open. Its forms are then of no use.
  const ended = document.getElementById("ended");
  const endSession = () => {
    ended.hidden = false;
    for (const form of document.querySelectorAll("details.change")) form.remove();
  };

  let loading = false;
  const load = async () => {
    if (loading || document.hidden) return;
    loading = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { accept: "text/html" } });
      // Over TLS, a page without a session has nothing at all.
      if (answer.status === 401 && ended) endSession();
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const isEnded = ended?.hidden && !page.getElementById("ended");
      if (isEnded) endSession();
      for (const old of document.querySelectorAll("[data-live][id], #updated")) {
        const next = page.getElementById(old.id);
        if (next) replace(old, next);
        // Contacts that only a session may see.
        else if (isEnded) old.remove();
      }
    } catch {
      // The daemon restarts; the next event or the timer loads again.
    } finally {
      loading = false;
    }
  };

  const LATER = 30_000;
  let source = null;
  let timer = null;

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource("/events");
    source.addEventListener("change", load);
    // What the page waits for may have come before the page listened.
    source.addEventListener("begin", () => document.querySelector("[data-late]") && load());
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      source = null;
      clearTimeout(timer);
      timer = setTimeout(() => load().then(listen), LATER);
    });
  };

  const rest = () => {
    source?.close();
    source = null;
    clearTimeout(timer);
  };

  if (ended) {
    // A timer cannot be longer. The page asks again after it.
    const LONGEST = 2 ** 31 - 1;
    setTimeout(load, Math.min((Number(ended.dataset.left) + 1) * 1000, LONGEST));
  }

  if (document.querySelector("[data-live]")) {
    document.addEventListener("visibilitychange", () => (document.hidden ? rest() : load().then(listen)));
    addEventListener("pagehide", rest);
    addEventListener("pageshow", listen);
    listen();
  }
})();
