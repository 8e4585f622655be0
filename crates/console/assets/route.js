// The location of the page, in the fragment of the address, which is not sent to the host. A reload, a bookmark and the browser's back button keep
// the filters.

import { link } from "./names.js";
import { store } from "./store.js";

function read() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [page, what = ""] = path.split("/");
    let name = what;
    try {
        name = decodeURIComponent(what);
    } catch {
        // A typed address: as it is.
    }
    return { page: page || "overview", what: name, query: Object.fromEntries(new URLSearchParams(query)) };
}

export const route = store(read());
addEventListener("hashchange", () => route.set(read()));

export function go(page, what, query) {
    location.hash = link(page, what, query);
}

/// Changes filters of the shown page; `replace` during typing, so that not every letter becomes an entry of the history. The address has
/// changes that the page does not show yet, and they stay.
export function filter(changes, { replace = false } = {}) {
    const { page, what, query } = read();
    const hash = link(page, what, { ...query, ...changes });
    if (replace) {
        history.replaceState(null, "", hash);
        route.set(read());
    } else {
        location.hash = hash;
    }
}
