/* The mapping editor without leaving the page: the same answers as without it, taken in where they belong.

   Elements with data-live send the form when they are used: "form" takes in the whole form again, "cells" only what is said beside
   the rows, so that whoever types keeps the caret. Without this script every button works by itself. */

const WAIT = 350;
const SHOWN = 60;
const live = document.getElementById("me-live");
let timer = 0;
let asked = 0;
let renewing = false;
const waiting = [];
const typed = new Map();

const form = () => document.getElementById("mapping");
const say = (words) => { if (live && words) { live.textContent = ""; window.setTimeout(() => { live.textContent = words; }, 50); } };

async function send(part, button) {
    const sent = ++asked;
    const data = new FormData(form());
    if (button && button.name) data.set(button.name, button.value);
    else data.set("do", "preview");
    let answer;
    try {
        answer = await fetch(form().action, { method: "POST", body: data, headers: { "X-Fragment": part }, credentials: "same-origin" });
    } catch (error) {
        say(form().dataset.failed);
        return null;
    }
    if (sent !== asked) return null;
    if (!answer.ok || answer.redirected) { say(form().dataset.failed); return null; }
    return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/* --- taking in --------------------------------------------------------------------------------------------------- */

/* What is pressed while an answer is on its way is done after it: no press is lost. */
async function renew(button) {
    window.clearTimeout(timer);
    if (renewing) { waiting.push(button); return; }
    renewing = true;
    form().setAttribute("aria-busy", "true");
    try {
        await taken(button);
    } finally {
        renewing = false;
        form().removeAttribute("aria-busy");
    }
    if (typed.size) { retype(); soon(); }
    if (waiting.length) await renew(waiting.shift());
}

/* What somebody typed while the answer was on its way. */
function retype() {
    typed.forEach(({ name, place, value }) => {
        const field = form().querySelectorAll(`[name="${CSS.escape(name)}"]`)[place];
        if (field) field.value = value;
    });
    typed.clear();
}

async function taken(button) {
    const held = document.activeElement && form().contains(document.activeElement) ? document.activeElement : null;
    const back = held && (held.id ? `#${CSS.escape(held.id)}` : held.name ? `[name="${CSS.escape(held.name)}"]` : "");
    const answer = await send("form", button);
    const made = answer && answer.getElementById("mapping");
    if (!made) return;
    form().replaceWith(document.adoptNode(made));
    prepare();
    const wanted = form().dataset.focus ? document.getElementById(form().dataset.focus) : back ? form().querySelector(back) : null;
    if (wanted) { wanted.focus({ preventScroll: false }); wanted.scrollIntoView({ block: "nearest" }); }
    say([form().dataset.said || form().dataset.tried, summary()].join(" "));
}

async function refresh() {
    if (renewing) return;
    const answer = await send("cells", null);
    if (!answer) return;
    answer.querySelectorAll("[data-cell]").forEach((cell) => {
        const name = cell.dataset.cell;
        if (name === "dirty") { form().dataset.dirty = cell.textContent.trim(); return; }
        const place = form().querySelector(`[data-cell="${CSS.escape(name)}"]`);
        if (place && !place.contains(document.activeElement)) place.replaceChildren(...cell.childNodes);
    });
    say([form().dataset.tried, summary()].join(" "));
}

function summary() {
    const told = [...form().querySelectorAll('[data-cell="summary"] .db-badge')].map((badge) => badge.lastChild.textContent.trim());
    return told.join(", ");
}

function soon() {
    form().dataset.dirty = "yes";
    window.clearTimeout(timer);
    timer = window.setTimeout(refresh, WAIT);
}

/* --- what people do ---------------------------------------------------------------------------------------------- */

document.addEventListener("submit", (event) => {
    if (event.target !== form()) return;
    const button = event.submitter;
    if (button && button.dataset.live === "form") {
        event.preventDefault();
        renew(button);
        return;
    }
    if (button && button.value === "preview") {
        event.preventDefault();
        if (document.activeElement && document.activeElement.id === "me-find") renew(null); else refresh();
        return;
    }
    form().dataset.dirty = "no";
});

document.addEventListener("input", (event) => {
    if (!form() || !form().contains(event.target)) return;
    if (renewing && event.target.name) {
        const place = [...form().querySelectorAll(`[name="${CSS.escape(event.target.name)}"]`)].indexOf(event.target);
        typed.set(`${event.target.name} ${place}`, { name: event.target.name, place, value: event.target.value });
    }
    if (event.target.dataset.live === "cells") soon();
});

document.addEventListener("change", (event) => {
    if (form() && form().contains(event.target) && event.target.dataset.live === "form") renew(null);
});

document.addEventListener("keydown", (event) => {
    if (form() && (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "s") {
        const save = document.getElementById("me-save");
        if (save) { event.preventDefault(); form().requestSubmit(save); }
    }
});

window.addEventListener("beforeunload", (event) => {
    if (form() && form().dataset.dirty === "yes") event.preventDefault();
});

/* --- the list of fields: a combobox after the ARIA pattern ---------------------------------------------------------- */

function prepare() {
    form().querySelectorAll("input[data-combo]").forEach(combobox);
}

function combobox(input, number) {
    const source = document.getElementById(input.dataset.combo);
    if (!source || input.getAttribute("role") === "combobox") return;
    const box = document.createElement("div");
    const list = document.createElement("ul");
    box.className = "me-combo";
    input.replaceWith(box);
    box.append(input, list);
    list.className = "me-combo__list";
    list.id = `combo-${input.name}-${number}`;
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", form().dataset.list);
    input.removeAttribute("list");
    Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id })
        .forEach(([name, value]) => input.setAttribute(name, value));
    let at = -1;

    const close = () => { list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
    const mark = () => [...list.children].forEach((item, place) => {
        item.setAttribute("aria-selected", String(place === at));
        if (place === at) { input.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
    });
    const choose = (item) => {
        input.value = item.dataset.value;
        close();
        input.dispatchEvent(new Event("input", { bubbles: true }));
        input.dispatchEvent(new Event("change", { bubbles: true }));
        close();
    };
    const open = (everything) => {
        const words = everything ? [] : input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
        const fits = [...source.options].filter((one) => {
            const text = `${one.value} ${one.textContent}`.toLowerCase();
            return words.every((word) => text.includes(word));
        }).slice(0, SHOWN);
        list.replaceChildren(...fits.map((one, place) => {
            const item = document.createElement("li");
            const name = document.createElement("b");
            item.id = `${list.id}-${place}`;
            item.setAttribute("role", "option");
            item.dataset.value = one.value;
            name.textContent = one.value;
            item.append(name, one.textContent);
            item.addEventListener("mousedown", (event) => { event.preventDefault(); choose(item); });
            return item;
        }));
        if (!fits.length) { close(); say(form().dataset.none); return; }
        list.hidden = false;
        at = -1;
        mark();
        input.setAttribute("aria-expanded", "true");
    };

    input.addEventListener("input", () => open(false));
    input.addEventListener("click", () => { if (list.hidden) open(true); });
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            if (list.hidden) { open(true); }
            const last = list.children.length - 1;
            at = event.key === "ArrowDown" ? (at >= last ? 0 : at + 1) : (at <= 0 ? last : at - 1);
            mark();
        } else if (event.key === "Enter" && !list.hidden && at >= 0) {
            event.preventDefault();
            choose(list.children[at]);
        } else if (event.key === "Escape" && !list.hidden) {
            event.preventDefault();
            close();
        }
    });
}

if (form()) prepare();
