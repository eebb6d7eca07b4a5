/* Keeps parts of a page up to date while work goes on in the background.

   An element with an id, `data-live-url` and `data-live-every` (seconds) is asked for again and again; an empty address is that
   of the page itself. Elements of one address are asked for together (`?part=<id>&part=<id>`). The answer is HTML that holds
   elements with the same ids: each takes its new shape in place, so that focus, opened details and the reader's place stay. One
   that comes without an address is finished; one with `data-live-then="reload"` has the page loaded anew, since the rest of it
   has changed too. Hidden tabs rest, errors make the pauses longer and show what stands in `data-live-trouble`.

   Without this file the page is the same, and has a link to refresh it. */
"use strict";

(() => {
    const LONGEST_PAUSE = 60_000;
    const MOST_FAILURES = 6;
    const KEPT = "data-live-kept";
    const groups = new Map();

    const parts = (url) =>
        [...document.querySelectorAll("[data-live-url]")].filter((one) => one.id && one.dataset.liveUrl === url);

    function watch() {
        for (const one of document.querySelectorAll("[data-live-url]")) {
            const url = one.dataset.liveUrl;
            if (one.id && !groups.has(url)) {
                groups.set(url, { failures: 0, timer: 0, busy: false });
                plan(url);
            }
        }
    }

    function plan(url) {
        const group = groups.get(url);
        clearTimeout(group.timer);
        const found = parts(url);
        if (!found.length) {
            groups.delete(url);
            return;
        }
        const every = 1000 * Math.min(...found.map((one) => Number(one.dataset.liveEvery) || 3));
        group.timer = setTimeout(() => ask(url), Math.min(every * 2 ** group.failures, LONGEST_PAUSE));
    }

    async function ask(url) {
        const group = groups.get(url);
        if (document.hidden || !group || group.busy) return;
        group.busy = true;
        const address = new URL(url || location.href, location.href);
        for (const one of parts(url)) address.searchParams.append("part", one.id);
        try {
            const options = { headers: { "X-Live": "1" }, credentials: "same-origin", redirect: "manual", cache: "no-store" };
            const answer = await fetch(url ? address : location.href, options);
            if (answer.ok) {
                group.failures = 0;
                refresh(url, new DOMParser().parseFromString(await answer.text(), "text/html"));
            } else if (answer.status >= 500 || answer.status === 429) {
                trouble(url, group);
            } else {
                stop(url); /* logged out, or gone */
            }
        } catch {
            trouble(url, group);
        }
        group.busy = false;
        plan(url);
        watch();
    }

    function refresh(url, answer) {
        for (const old of parts(url)) {
            const fresh = answer.getElementById(old.id);
            if (!fresh) {
                old.removeAttribute("data-live-url");
            } else if (fresh.dataset.liveThen === "reload" && !fresh.hasAttribute("data-live-url")) {
                location.reload();
                return;
            } else {
                become(old, document.importNode(fresh, true));
            }
        }
    }

    function trouble(url, group) {
        group.failures = Math.min(group.failures + 1, MOST_FAILURES);
        if (group.failures > 1) parts(url).forEach(tell);
    }

    function stop(url) {
        for (const one of parts(url)) {
            one.removeAttribute("data-live-url");
            tell(one);
        }
    }

    function tell(part) {
        part.querySelectorAll("[data-live-trouble]").forEach((one) => one.removeAttribute("hidden"));
    }

    /* Gives an element the shape of another one, changing only what differs. */
    function become(old, fresh) {
        if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || (old.id || "") !== (fresh.id || "")) {
            old.replaceWith(fresh);
        } else if (old.nodeType !== Node.ELEMENT_NODE) {
            if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
        } else if (!old.isEqualNode(fresh)) {
            copyAttributes(old, fresh);
            copyChildren(old, fresh);
        }
    }

    function copyAttributes(old, fresh) {
        const stays = (name) => name === KEPT || (name === "open" && old.hasAttribute(KEPT));
        for (const { name, value } of [...fresh.attributes]) {
            if (!stays(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
        }
        for (const { name } of [...old.attributes]) {
            if (!stays(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
        }
    }

    function copyChildren(old, fresh) {
        const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
        after.forEach((child, place) => (place < before.length ? become(before[place], child) : old.append(child)));
        before.slice(after.length).forEach((child) => child.remove());
    }

    /* What somebody opened or closed by hand stays so. */
    document.addEventListener("click", (event) => {
        const summary = event.target instanceof Element && event.target.closest("summary");
        if (summary && summary.closest("[data-live-url]")) summary.parentElement.setAttribute(KEPT, "");
    });
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden) [...groups.keys()].forEach((url) => ask(url));
    });
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch);
    else watch();
})();
