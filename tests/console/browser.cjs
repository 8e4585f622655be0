// A real Chromium, and what is looked at on every page of the console: that nothing goes to another host, that the token stands in no
// address, that text of others stays text, and that axe finds nothing.

const fs = require("node:fs");
const { createRequire } = require("node:module");
const load = createRequire(process.env.NODE_FOLDER + "/x");
const { chromium } = load("playwright-core");

const AXE = fs.readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const LIMIT = 30_000;
const FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --enable-precise-memory-info --js-flags=--expose-gc";

class Console {
    constructor(base, context, page) {
        Object.assign(this, { base, context, page, secrets: [], broken: [], writes: [], addresses: new Set() });
        page.setDefaultTimeout(LIMIT);
        page.on("pageerror", (error) => this.broken.push(`error: ${error.stack ?? error}`));
        page.on("console", (message) => {
            const text = message.text();
            // A refused call is told on the page; the browser tells it as well.
            if (message.type() === "error" && !/Failed to load resource|ERR_CONNECTION/.test(text)) this.broken.push(`console: ${text}`);
        });
        page.on("dialog", (dialog) => this.broken.push(`dialog: ${dialog.message()}`));
        context.on("request", (request) => this.sees(request));
        page.on("framenavigated", (frame) => this.address(frame.url()));
    }

    sees(request) {
        const url = request.url();
        this.address(url);
        if (!url.startsWith(this.base) && !url.startsWith("data:")) this.broken.push(`another host: ${url}`);
        if (request.method() !== "GET") this.writes.push(`${request.method()} ${url}`);
    }

    address(url) {
        this.addresses.add(url);
        for (const secret of this.secrets) if (url.includes(secret)) this.broken.push(`a token in an address: ${url}`);
    }

    async logIn(token) {
        this.secrets.push(token);
        await this.page.goto(`${this.base}/`);
        await this.page.getByLabel("Token").fill(token);
        await this.page.getByRole("button", { name: "Log in" }).click();
        await this.heading("Overview");
    }

    heading(text) {
        return this.page.getByRole("heading", { level: 1, name: text }).waitFor();
    }

    async open(hash, title) {
        await this.page.evaluate((to) => { location.hash = to; }, hash);
        await this.heading(title);
    }

    text(text) {
        return this.page.getByText(text).first().waitFor();
    }

    click(name, role = "button") {
        return this.page.getByRole(role, { name, exact: true }).first().click();
    }

    /// What axe finds on the page as it is.
    async axe(what) {
        const client = await this.context.newCDPSession(this.page);
        const run = async (expression) => {
            const { result, exceptionDetails } = await client.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, allowUnsafeEvalBlockedByCSP: true });
            if (exceptionDetails) throw new Error(`axe: ${JSON.stringify(exceptionDetails).slice(0, 600)}`);
            return result.value;
        };
        if (!(await run("typeof axe === 'object'"))) await run(`${AXE};0`);
        const found = JSON.parse(await run("axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + n.any.map((c) => c.message).join(' ')).join(' | ')}`)))"));
        await client.detach();
        if (found.length) throw new Error(`axe on ${what}: ${found.join("\n")}`);
    }

    /// Nothing of what others wrote has become markup or code.
    async safe(what) {
        const found = await this.page.evaluate(() => ({ pwned: window.pwned, markup: document.querySelectorAll("img, iframe, script:not([src]), b, [onerror]").length, wide: document.documentElement.scrollWidth - innerWidth }));
        if (found.pwned !== undefined || found.markup) throw new Error(`${what}: text became markup: ${JSON.stringify(found)}`);
        if (found.wide > 1) throw new Error(`${what}: the page is ${found.wide} pixels wider than the window`);
        if (this.broken.length) throw new Error(`${what}: ${this.broken.join("\n")}`);
    }

    async picture(name) {
        const folder = process.env.CONSOLE_SCREENSHOTS;
        if (!folder) return;
        await this.page.evaluate(() => scrollTo(0, 0));
        await this.page.screenshot({ path: `${folder}/console-${name}.png` });
    }
}

async function start(base, options = {}) {
    const context = await chromium.launchPersistentContext(process.env.PROFILE_FOLDER + (options.name ?? ""), {
        executablePath: process.env.CHROMIUM, args: FLAGS.split(" "), timeout: LIMIT, viewport: { width: 1280, height: 860 }, colorScheme: "light",
    });
    const assets = process.env.CONSOLE_ASSETS;
    if (assets) await context.route(`${base}/console/**`, (route) => route.fulfill({ path: assets + new URL(route.request().url()).pathname.replace("/console", "") }));
    const page = context.pages()[0] ?? (await context.newPage());
    return new Console(base, context, page);
}

module.exports = { Console, start, LIMIT };
