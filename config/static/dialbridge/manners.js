/* What the theme leaves out: keys for what acts as a button, names for its choosers, buttons that copy, and the browser's time zone. */
(function () {
    "use strict";

    var CLICKABLE = "[x-on\\:click]";
    var NATURAL = "a[href], button, input, select, textarea, label";

    function asButton(element) {
        if (element.matches(NATURAL) || element.getAttribute("aria-hidden") === "true") return;
        if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "0");
        if (!element.hasAttribute("role") && /^(A|SPAN|DIV|H2)$/.test(element.tagName)) {
            if (element.querySelector("input, select, textarea, a[href], button")) { element.removeAttribute("tabindex"); return; }
            element.setAttribute("role", "button");
            if (!element.textContent.trim() && !element.title) { element.removeAttribute("role"); element.removeAttribute("tabindex"); }
        }
    }

    function named(chooser) {
        var box = chooser.closest(".select2-container");
        var field = box && box.previousElementSibling;
        var label = field && field.id && document.querySelector('label[for="' + CSS.escape(field.id) + '"]');
        var text = field && (field.getAttribute("aria-label") || (label ? label.textContent : field.title || field.name));
        if (!text) return;
        var shown = chooser.querySelector(".select2-selection__rendered");
        chooser.setAttribute("aria-label", (text.replace(/\s+/g, " ").trim() + " " + (shown && shown.title ? shown.title : "")).trim());
        chooser.removeAttribute("aria-labelledby");
        if (shown) { shown.removeAttribute("role"); shown.removeAttribute("aria-readonly"); }
    }

    function tidy(root) {
        root.querySelectorAll(CLICKABLE).forEach(asButton);
        root.querySelectorAll(".select2-selection").forEach(named);
        root.querySelectorAll("span[aria-label]:not([role])").forEach(function (icon) { icon.setAttribute("role", "img"); });
        root.querySelectorAll(".select2-search__field:not([aria-label])").forEach(function (field) { field.setAttribute("aria-label", field.placeholder || "Search"); });
    }

    function pressed(event) {
        var target = event.target;
        if ((event.key === "Enter" || event.key === " ") && target.matches && target.matches('[role="button"]:not(button)')) {
            event.preventDefault();
            target.click();
        }
    }

    function copied(event) {
        var button = event.target.closest && event.target.closest("[data-copy]");
        var source = button && document.getElementById(button.dataset.copy);
        if (!source) return;
        var text = source.value === undefined ? source.textContent : source.value;
        var done = function () { button.textContent = button.dataset.copied || "✓"; };
        if (navigator.clipboard && window.isSecureContext) { navigator.clipboard.writeText(text).then(done, select); } else { select(); }
        function select() {
            var range = document.createRange();
            range.selectNodeContents(source);
            var chosen = window.getSelection();
            chosen.removeAllRanges();
            chosen.addRange(range);
        }
    }

    /* Another empty line of a table of pairs: see pairs.html. */
    function more(event) {
        var button = event.target.closest && event.target.closest("[data-more]");
        var list = button && document.getElementById(button.dataset.more);
        if (!list) return;
        var cells = Array.prototype.filter.call(list.children, function (one) { return !one.matches(".me-pairs__head, datalist"); });
        var fresh = cells.slice(-2).map(function (one) { return list.appendChild(one.cloneNode(true)); });
        fresh.forEach(function (cell) {
            (cell.matches("input, select") ? [cell] : cell.querySelectorAll("input, select")).forEach(function (field) {
                field.value = "";
                field.setAttribute("aria-label", field.getAttribute("aria-label").replace(/\d+/, function (number) { return Number(number) + 1; }));
            });
        });
        fresh[0].focus();
    }

    function tellZone() {
        var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        if (zone && document.cookie.indexOf("browser_timezone=" + encodeURIComponent(zone)) < 0) {
            document.cookie = "browser_timezone=" + encodeURIComponent(zone) + ";path=/;max-age=31536000;SameSite=Lax" + (location.protocol === "https:" ? ";Secure" : "");
        }
    }

    tellZone();
    /* The theme looks for its own text box beside every file, and fails where there is none. */
    function chosen(event) {
        if (event.target.matches(".me-input[type=file]")) event.stopPropagation();
    }

    document.addEventListener("change", chosen, true);
    document.addEventListener("keydown", pressed);
    document.addEventListener("click", copied);
    document.addEventListener("click", more);
    document.addEventListener("DOMContentLoaded", function () {
        tidy(document);
        document.querySelectorAll("[data-copy], [data-more]").forEach(function (button) { button.hidden = false; });
        new MutationObserver(function (changes) {
            if (changes.some(function (change) { return change.addedNodes.length > 0; })) tidy(document);
        }).observe(document.body, { childList: true, subtree: true });
    });
})();
