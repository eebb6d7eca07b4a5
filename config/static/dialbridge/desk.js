/* Keys of the conflict desk. Each acts on the element that names it in data-key; the page works without them. */

(() => {
    "use strict";

    const SWITCH = "dialbridge.desk.keys";
    const desk = document.querySelector("[data-desk]");
    if (!desk) return;
    const dialog = desk.querySelector("[data-desk-keys]");
    const help = desk.querySelector("[data-desk-help]");
    const toggle = desk.querySelector("[data-desk-switch]");

    const stored = () => {
        try {
            return localStorage.getItem(SWITCH);
        } catch {
            return null;
        }
    };
    let on = stored() !== "off";

    const show = () => {
        toggle.setAttribute("aria-pressed", String(on));
        desk.classList.toggle("db-desk--quiet", !on);
    };

    const typing = (element) =>
        element.isContentEditable || element.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");

    const act = (element) => {
        if (element.matches("input, textarea, select")) {
            element.focus();
            if (element.select) element.select();
        } else if (element.matches("[role=group]")) {
            element.querySelector("input").focus();
        } else if (element.matches("summary")) {
            element.parentElement.open = true;
            element.parentElement.querySelector("button").focus();
        } else {
            element.click();
        }
    };

    document.addEventListener("keydown", (event) => {
        const other = event.target.closest("[data-desk-other]");
        if (event.key === "Escape" && other && typing(event.target)) {
            desk.querySelector("[data-desk-start]").focus();
            return;
        }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && other) {
            event.preventDefault();
            other.requestSubmit();
            return;
        }
        if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
        if (typing(event.target) || dialog.open) return;
        if (event.key === "?") {
            event.preventDefault();
            dialog.showModal();
            return;
        }
        const element = on && desk.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
        if (element) {
            event.preventDefault();
            act(element);
        }
    });

    toggle.addEventListener("click", () => {
        on = !on;
        try {
            localStorage.setItem(SWITCH, on ? "on" : "off");
        } catch {
            /* It holds for this page then. */
        }
        show();
    });
    help.addEventListener("click", () => dialog.showModal());
    help.hidden = false;
    show();

    /* One decision is sent once, however often its key is pressed. */
    desk.addEventListener("submit", (event) => {
        if (event.target.method !== "post") return;
        if (event.target.dataset.sent) event.preventDefault();
        event.target.dataset.sent = "yes";
    });

    const start = desk.querySelector("[autofocus]") || desk.querySelector("[data-desk-start]");
    if (start) start.focus({ preventScroll: true });
})();
