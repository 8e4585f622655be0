// The console's frame: login, pages, and whether the host answers.

import { html, render, useEffect, useErrorBoundary, useState } from "./html.js";
import { begin, caller, contact, logIn, logOut, reason } from "./api.js";
import { Badge, Problem, Sayings } from "./parts.js";
import { pages } from "./pages.js";
import { route } from "./route.js";
import { useStore } from "./store.js";

function LogIn() {
    const why = useStore(reason);
    const [error, setError] = useState(null);
    const [busy, setBusy] = useState(false);
    const submit = async (event) => {
        event.preventDefault();
        setBusy(true);
        setError(null);
        try {
            await logIn(new FormData(event.target).get("token").trim());
        } catch (failed) {
            setError(failed);
        }
        setBusy(false);
    };
    useEffect(() => {
        document.title = "Log in · Switchbox";
    }, []);
    return html`<main class="login"><form class="card form" onSubmit=${submit}><h1>Switchbox</h1>
        <label class="field" for="token"><span>Token</span><input id="token" name="token" type="password" autocomplete="current-password" required autofocus /></label>
        <p class="hint">The host's own token is in the file <code>admin-token</code> in its data folder. <code>switchbox token create --name me --scope read</code> creates a read-only token.
            It stays in this tab, and goes to this host only.</p>
        <${Problem} error=${error ?? (why ? { message: why } : null)} />
        <div class="actions"><button class="main" disabled=${busy}>Log in</button></div></form></main>`;
}

function Contact() {
    const { lost, back } = useStore(contact);
    if (lost) return html`<div class="banner bad" role="alert">The host does not answer. The data shown is from before; this page retries every second.</div>`;
    return back ? html`<div class="banner good" role="status">${back}</div>` : null;
}

/// Pages without an entry in the menu.
const within = { device: "devices" };

function Shell() {
    const { page } = useStore(route);
    const who = useStore(caller);
    const [open, setOpen] = useState(false);
    useEffect(() => setOpen(false), [page]);
    const shown = pages.filter((one) => !one.hidden && (!one.needs || who.scope === one.needs));
    return html`<a class="skip" href="#main" onClick=${(event) => {
            event.preventDefault();
            document.getElementById("main").focus();
        }}>to the page</a>
        <header><a class="brand" href="#/overview">Switchbox</a>
        <button class="menu plain" aria-expanded=${open} aria-controls="nav" onClick=${() => setOpen(!open)}>menu</button>
        <nav id="nav" class=${open ? "open" : ""} aria-label="Pages">${shown.map((one) => html`<a key=${one.page} href=${`#/${one.page}`} aria-current=${one.page === (within[page] ?? page) ? "page" : undefined}>${one.title}</a>`)}</nav>
        <div class="who"><span class="name">${who.name}</span> <${Badge} kind=${who.scope === "read" ? "warn" : "plain"}>${who.scope === "read" ? "read-only" : who.scope}<//>
        <button class="plain" onClick=${logOut}>log out</button></div></header>
        <${Contact} /><main id="main" tabindex="-1"><${Guarded} key=${page} /></main><${Sayings} />`;
}

/// A page that throws shows an error; the other pages still work.
function Guarded() {
    const [error] = useErrorBoundary();
    const { page, what, query } = useStore(route);
    if (error) return html`<h1>This page failed</h1><${Problem} error=${error} /><p>This is a defect of the console. The other pages work.</p>`;
    const found = pages.find((one) => one.page === page);
    if (!found) return html`<h1>There is no such page</h1><p><a href="#/overview">To the overview</a></p>`;
    return html`<${found.component} key=${found.whole ? what : ""} what=${what} query=${query} />`;
}

function App() {
    const who = useStore(caller);
    if (who === undefined) return html`<p class="centre" role="status">Loading …</p>`;
    return who ? html`<${Shell} />` : html`<${LogIn} />`;
}

begin().then(() => {
    const root = document.getElementById("app");
    root.replaceChildren();
    render(html`<${App} />`, root);
});
