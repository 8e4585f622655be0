// The host's HTTP API. The token is in the session storage of this tab and in the Authorization header, nowhere else.

import { store } from "./store.js";

const TOKEN = "switchbox-token";
/// The interval of the retries while the host does not answer.
const LOOK_AGAIN_MS = 1_000;

/// The token in use: `{name, scope}`, or null. `undefined` while that is not known.
export const caller = store(undefined);
/// Why the page asks for a token.
export const reason = store("");
/// `{lost: true}` while the host does not answer; `{back: text}` for a while after it answers again.
export const contact = store({});
/// Counts the reconnections to a host; each one reloads the data.
export const epoch = store(0);

const SCOPES = ["read", "operate", "admin"];

/// The scope of the token; the host checks it as well.
export function may(scope) {
    const had = caller.get()?.scope;
    return SCOPES.indexOf(had) >= SCOPES.indexOf(scope);
}

export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

function headers(more = {}) {
    const token = sessionStorage.getItem(TOKEN);
    return token ? { authorization: `Bearer ${token}`, ...more } : more;
}

async function send(method, path, { body, type, signal, more } = {}) {
    const all = headers(type ? { "content-type": type, ...more } : more);
    let response;
    try {
        response = await fetch(path, { method, body, signal, headers: all, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
        if (error.name !== "AbortError") lost();
        throw error.name === "AbortError" ? error : new Refused(0, "the host does not answer");
    }
    if (response.ok) return response;
    const text = await response.text();
    let message = text.trim() || response.statusText;
    try {
        message = JSON.parse(text).error.message;
    } catch {
        // Not every answer is JSON: it may come from a proxy.
    }
    if (response.status === 401) forget(message);
    if (response.status === 412) message = "Nothing was saved: it was changed after this dialog was opened. Close it and open it again.";
    throw new Refused(response.status, message);
}

/// The answer as JSON.
export async function call(method, path, body, more) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), type: "application/json" };
    const response = await send(method, path, { ...sent, ...more });
    return response.json();
}

export const get = (path, signal) => call("GET", path, undefined, { signal });

/// The answer as JSON, with the revision that a change of it can name.
export async function tagged(path, signal) {
    const response = await send("GET", path, { signal });
    return { data: await response.json(), etag: response.headers.get("etag") };
}

/// For `call`: the change is made only if the object still has this revision.
export const unchangedSince = (etag) => ({ more: { "if-match": etag } });

export async function text(path, signal) {
    return (await send("GET", path, { signal })).text();
}

/// An answer as bytes.
export async function blob(path) {
    return (await send("GET", path)).blob();
}

/// A body that is not JSON.
export async function put(path, type, body) {
    return (await send("PUT", path, { body, type })).json();
}

/// A stream of server-sent events, from where the last one ended.
export async function stream(path, { signal, lastId }) {
    const response = await send("GET", path, { signal, more: lastId ? { "last-event-id": lastId } : {} });
    return response.body.getReader();
}

export async function logIn(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    const status = await get("/v1/status");
    reason.set("");
    caller.set(status.caller);
    started = status.startTime;
    return status;
}

/// Whether a token is needed, and whether that of this tab is valid.
export async function begin() {
    try {
        await logIn();
    } catch (error) {
        if (error.status !== 401) reason.set(error.message);
        else if (!sessionStorage.getItem(TOKEN)) reason.set("");
        caller.set(null);
    }
}

export function logOut() {
    forget("");
}

function forget(why) {
    const had = sessionStorage.getItem(TOKEN);
    sessionStorage.removeItem(TOKEN);
    reason.set(had ? why : "");
    caller.set(null);
}

let started;
let looking = false;

/// Waits until the host answers again, then reloads everything.
async function lost() {
    if (looking || !caller.get()) return;
    looking = true;
    contact.set({ lost: true });
    for (;;) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
        try {
            const ready = await fetch("/readyz", { cache: "no-store", credentials: "omit" });
            if (ready.ok) break;
        } catch {
            // Not yet.
        }
    }
    looking = false;
    try {
        const before = started;
        const status = await logIn();
        const restarted = status.startTime !== before;
        contact.set({ back: restarted ? "The host has restarted. The page was reloaded." : "The host answers again. The page was reloaded." });
    } catch {
        contact.set({});
    }
    epoch.set(epoch.get() + 1);
    setTimeout(() => contact.get().back && contact.set({}), 8_000);
}
