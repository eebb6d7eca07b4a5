/* For forms that show what they would do: form[data-editing].

   After a change the form is sent as for its preview button (do=preview); of the answer only the elements marked data-editing-result
   are taken over, except while somebody is in them. What is not saved is said, and leaving is asked about. Without this file the
   form has a button for it. */
"use strict";

(() => {
    const PAUSE = 400;
    const form = document.querySelector("form[data-editing]");
    if (!form) return;
    const state = form.querySelector("[data-editing-state]");
    const saved = fields();
    let sending = false;
    let timer = 0;
    let asked = null;

    function fields() {
        const data = new FormData(form);
        data.delete("csrfmiddlewaretoken");
        return new URLSearchParams(data).toString();
    }

    const unsaved = () => fields() !== saved || form.hasAttribute("data-editing-dirty");

    const tell = () => {
        if (state) state.textContent = unsaved() ? form.dataset.unsaved : "";
    };

    /* Styles of the answer are not for this page, whose own nonce they lack. */
    const bare = (html) => html.replace(/<style[\s\S]*?<\/style>/g, "").replace(/\sstyle="[^"]*"/g, "");

    function take(html) {
        const answer = new DOMParser().parseFromString(bare(html), "text/html");
        for (const old of form.querySelectorAll("[data-editing-result]")) {
            const fresh = answer.getElementById(old.id);
            if (fresh && !old.contains(document.activeElement)) old.replaceChildren(...fresh.childNodes);
            else if (fresh) takeTexts(old, fresh);
        }
    }

    /* Somebody is in a field there: only what can't be typed into changes. */
    function takeTexts(old, fresh) {
        const cells = old.querySelectorAll("td, [data-editing-text]");
        const others = fresh.querySelectorAll("td, [data-editing-text]");
        if (cells.length !== others.length) return;
        cells.forEach((cell, at) => {
            if (!cell.querySelector("input, select, textarea, button")) cell.replaceChildren(...others[at].childNodes);
        });
    }

    async function preview() {
        if (asked) asked.abort();
        asked = new AbortController();
        const data = new FormData(form);
        data.set("do", "preview");
        try {
            const answer = await fetch(form.action || location.href, { method: "POST", body: data, signal: asked.signal });
            if (answer.ok) take(await answer.text());
        } catch (error) {
            if (error.name !== "AbortError" && state) state.textContent = form.dataset.unsaved;
        }
    }

    const changed = () => {
        tell();
        clearTimeout(timer);
        timer = setTimeout(preview, PAUSE);
    };

    form.addEventListener("input", changed);
    form.addEventListener("submit", () => {
        sending = true;
    });
    window.addEventListener("beforeunload", (event) => {
        if (!sending && unsaved()) event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
        if ((event.ctrlKey || event.metaKey) && event.key === "s") {
            const save = form.querySelector('button[name="do"][value="save"]');
            if (save) {
                event.preventDefault();
                form.requestSubmit(save);
            }
        }
    });
    tell();
})();
