// The host's HTTP API. The token is in the session storage of this tab and in the Authorization header, nowhere else.

import { store } from "./store.js";

const TOKEN = "switchbox-token";
/// How often a host that does not answer is asked whether it is back.
const LOOK_AGAIN_MS = 1_000;

/// Who is logged in: `{name, scope}`, or null. `undefined` while that is not known.
export const caller = store(undefined);
/// Why the page asks for a token.
export const reason = store("");
/// `{lost: true}` while the host does not answer; `{back: text}` for a while after it did again.
export const contact = store({});
/// Counts how often the page has come back to a host; what was shown before is read again.
export const epoch = store(0);

const SCOPES = ["read", "operate", "admin"];

/// What the token may do; the host refuses the rest whatever the page shows.
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
        // Not every answer is JSON: a proxy may stand between.
    }
    if (response.status === 401) forget(message);
    throw new Refused(response.status, message);
}

/// The answer as JSON.
export async function call(method, path, body, more) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), type: "application/json" };
    const response = await send(method, path, { ...sent, ...more });
    return response.json();
}

export const get = (path, signal) => call("GET", path, undefined, { signal });

export async function text(path, signal) {
    return (await send("GET", path, { signal })).text();
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

/// Is a token needed, and is the one of this tab good?
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

/// Waits until the host answers again, then has everything read anew.
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
        contact.set({ back: restarted ? "The host has restarted. What you see was read anew." : "The host answers again. What you see was read anew." });
    } catch {
        contact.set({});
    }
    epoch.set(epoch.get() + 1);
    setTimeout(() => contact.get().back && contact.set({}), 8_000);
}
