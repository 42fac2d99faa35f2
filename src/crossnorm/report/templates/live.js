"use strict";
// Updates the page: requests the progress every second, and the page itself if its version has changed.
(() => {
  const main = document.getElementById("main");
  const EVERY = 1000;
  let version = null;

  const named = (found) => new Map([...found].map((part) => [part.dataset.live, part]));
  const parts = (root) => named(root.querySelectorAll("[data-live]:not(#progress *)"));
  const alike = (a, b) => a.size === b.size && [...a.keys()].every((name) => b.has(name));
  const titles = (root) => [...root.querySelectorAll("details")].map((item) => [item.querySelector("summary").textContent, item]);

  // If both pages have the same parts, replace the changed ones. Otherwise replace <main> and restore open sections,
  // sorting and focus.
  function take(next) {
    const old = parts(document), fresh = parts(next);
    if (alike(old, fresh)) exchange(old, fresh);
    else exchangeMain(next);
    document.title = next.title;
    document.getElementById("data").textContent = next.getElementById("data").textContent;
    window.crossnorm.refresh();
  }

  function exchange(old, fresh) {
    for (const [name, part] of old) if (part.innerHTML !== fresh.get(name).innerHTML) part.innerHTML = fresh.get(name).innerHTML;
  }

  function exchangeMain(next) {
    const open = new Map(titles(main).map(([title, item]) => [title, item.open]));
    const sorted = [...main.querySelectorAll("table.sortable [aria-sort]")].map((head) => [head.closest("table").id, head.cellIndex, head.getAttribute("aria-sort")]);
    const focused = document.activeElement ? document.activeElement.id : "";
    main.replaceChildren(...next.getElementById("main").childNodes);
    for (const name of ["title", "footnote"]) {
      const [here, there] = [parts(document).get(name), parts(next).get(name)];
      if (here && there) here.innerHTML = there.innerHTML;
    }
    for (const [title, item] of titles(main)) if (open.has(title)) item.open = open.get(title);
    for (const [table, column, way] of sorted) {
      const found = document.getElementById(table);
      if (found) found.tHead.rows[0].cells[column].setAttribute("aria-sort", way);
    }
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
  }

  function showProgress(html) {
    const box = document.getElementById("progress"), next = document.createElement("section");
    next.innerHTML = html;
    const [old, fresh] = [box, next].map((root) => named(root.querySelectorAll("[data-live]")));
    if (alike(old, fresh)) exchange(old, fresh);
    else box.innerHTML = html;
  }

  // The response to a request; null if there is none.
  const got = (path) => fetch(path, { cache: "no-store" }).then((answer) => (answer.ok ? answer : null), () => null);

  async function ask() {
    const answer = await got("progress");
    if (!answer) return false;
    const found = await answer.json();
    if (found.version !== version) {
      const page = await got("./");
      if (!page) return false;
      take(new DOMParser().parseFromString(await page.text(), "text/html"));
      version = found.version;
    }
    showProgress(found.html);
    return true;
  }

  async function watch() {
    try {
      document.getElementById("lost").hidden = await ask();
    } finally {
      setTimeout(watch, EVERY);
    }
  }

  watch();
})();
