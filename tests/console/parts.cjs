// The parts of the test, in order: each begins where the one before it ended.

const fs = require("node:fs");
const { plugins, whyNot, approvals, candidates } = require("./plugin_parts.cjs");

const WIDE = { width: 1280, height: 860 };
const NARROW = { width: 380, height: 740 };

/// Each page, with the heading that it has.
const PAGES = [
    ["#/overview", "Overview"], ["#/devices", "Devices"], ["#/device/lamp-1", "lamp-1"], ["#/device/lamp-1?tab=twin", "lamp-1"], ["#/device/lamp-1?tab=send", "lamp-1"],
    ["#/device/lamp-1?tab=credentials", "lamp-1"], ["#/device/lamp-1?tab=log", "lamp-1"], ["#/device/lamp-1?tab=files", "lamp-1"], ["#/device/lamp-1?tab=rules", "lamp-1"], ["#/live", "Live"], ["#/why/lamp-1", "Why lamp-1?"],
    ["#/graph", "Graph"], ["#/plugins", "Plugins"], ["#/plugins/wake", "wake"], ["#/approvals", "Approvals"], ["#/dead-letters", "Dead letters"], ["#/topics", "Topics"], ["#/access", "Access"],
];

async function login({ console, page, base, token }) {
    await page.goto(`${base}/`);
    await page.getByLabel("Token").fill("not-the-token");
    await console.click("Log in");
    await console.text("the bearer token is not this host's");
    console.secrets.push(token);
    await page.getByLabel("Token").fill(token);
    await console.click("Log in");
    await console.heading("Overview");
    const kept = await page.evaluate(() => [localStorage.length, document.cookie, sessionStorage.length]);
    if (JSON.stringify(kept) !== '[0,"",1]') throw new Error(`the token is not in the session storage alone: ${kept}`);
}

async function overview({ console, page }) {
    // A reload, as when an operator returns: until the page shows how many devices there are.
    const began = Date.now();
    await page.reload();
    await page.getByRole("definition").filter({ hasText: "10,011" }).waitFor();
    const took = Date.now() - began;
    await console.text(/1 dead letter/);
    await page.getByRole("definition").filter({ hasText: /median; 95 % .*, to the device's PUBACK/ }).waitFor();
    await console.picture("overview");
    return `first view ${took} ms`;
}

async function devices({ console, page }) {
    await console.open("#/devices", "Devices");
    await page.getByRole("row").nth(50).waitFor();
    await page.getByRole("button", { name: "next 50" }).click();
    await page.getByText("fleet-00050", { exact: true }).waitFor();
    await page.getByLabel("Search ids, metadata").fill("fleet-0999");
    await page.getByText("fleet-09999", { exact: true }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 10);
    await page.getByRole("row", { name: /fleet-09999/ }).getByText("no data yet").waitFor();
    if (!page.url().includes("search=fleet-0999")) throw new Error(`the filter is not in the address: ${page.url()}`);
    await page.getByLabel("Select all on this page").check();
    await console.click("set metadata");
    await page.getByLabel("Key", { exact: true }).fill("hall");
    await page.getByLabel("Value", { exact: true }).fill("<img src=x onerror=window.pwned=1>");
    await console.click("Set");
    await console.text("Done for 10 devices.");
    await console.text("hall=<img src=x");
    for (const [what, blocked] of [["block", 10], ["unblock", 0]]) {
        await page.getByLabel("Select all on this page").check();
        await console.click(what);
        await page.waitForFunction((count) => document.querySelectorAll("tbody tr").length === 10 && document.querySelectorAll("tbody .badge.bad").length === count, blocked);
    }
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 10);
    await page.getByLabel("Search ids, metadata").fill("nothing has this id");
    await console.text("No device matches.");
    await page.getByLabel("Search ids, metadata").fill("");
    await page.getByLabel("Connected").selectOption("true");
    await page.getByText("lamp-1", { exact: true }).waitFor();
    await console.click("New device");
    await page.getByRole("dialog").getByLabel("Id").fill("860123456789012");
    await page.getByRole("dialog").getByLabel("Credential").selectOption("make");
    await console.click("Register");
    await console.text("BEGIN PRIVATE KEY");
    await console.text(/mosquitto_pub .* -i 860123456789012/);
    await console.click("close");
    await console.open("#/device/860123456789012?tab=credentials", "860123456789012");
    await console.text("ES256_PEM");
    await console.click("give a password");
    await page.getByRole("dialog").getByRole("button", { name: "close" }).click();
    await console.click("delete");
    await console.click("Delete");
    await console.heading("Devices");
    await page.evaluate(() => { location.hash = "#/devices"; });
    await page.getByRole("row").nth(50).waitFor();
}

/// What happens after the page was drawn is not in the future.
async function passed(page, ask) {
    const seen = page.locator("dt:text-is('Last seen') + dd time");
    const [before, drawn] = [await seen.getAttribute("datetime"), Date.now()];
    await page.waitForFunction((at) => Date.now() > at, drawn + 2_000);
    await ask("switch");
    await page.waitForFunction((at) => document.querySelectorAll("dl.facts time")[1].dateTime !== at, before);
    const says = await seen.innerText();
    if (!/^now$| ago$/.test(says)) throw new Error(`last seen ${says}`);
}

async function device(context) {
    await overviewOfDevice(context);
    await metadataOfDevice(context);
    await metadataInLines(context);
    await wholeConfig(context);
    await twinOfDevice(context);
    await sendToOffline(context);
    await sendToConnected(context);
    await historyOfDevice(context);
}

async function overviewOfDevice({ console, page, ask }) {
    await console.open("#/device/nobody", "nobody");
    await console.text("device nobody does not exist");
    await page.getByRole("link", { name: "All devices" }).waitFor();
    await console.open("#/device/lamp-1?tab=nothing", "lamp-1");
    await page.locator(".tabs [aria-current]").filter({ hasText: "Now" }).waitFor();
    await console.open("#/device/switch-1", "switch-1");
    await passed(page, ask);
}

/// A dialog that was opened before another change saves nothing.
async function metadataOfDevice({ console, page }) {
    await console.open("#/device/fleet-00001", "fleet-00001");
    await console.click("metadata");
    const written = page.getByRole("dialog").getByLabel("One key=value per line");
    await written.fill("room=hall");
    await changed(page, `${FLEET}1?updateMask=metadata.floor`, { metadata: { floor: "2" } });
    await console.click("Save");
    await console.text("Nothing was saved: it was changed after this dialog was opened.");
    await console.click("close");
    await console.click("metadata");
    await page.waitForFunction(() => document.querySelector("dialog textarea")?.value === "floor=2");
    await written.fill("floor=2\nroom=hall");
    await console.click("Save");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await console.text("room=hall");
}

/// What a line cannot hold is left as it is. Only changed keys are saved.
async function metadataInLines({ console, page }) {
    const note = " line1\nline2=x ";
    await changed(page, `${FLEET}2?updateMask=metadata`, { metadata: { note, room: "hall" } });
    await console.open("#/device/fleet-00002", "fleet-00002");
    await console.click("metadata");
    await page.waitForFunction(() => document.querySelector("dialog textarea")?.value === "room=hall");
    await console.text("a line cannot hold them: note");
    await page.getByRole("dialog").getByLabel("One key=value per line").fill("room=cellar");
    await console.click("Save");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const { metadata } = await changed(page, `${FLEET}2?updateMask=blocked`, { blocked: false });
    if (metadata.note !== note || metadata.room !== "cellar") throw new Error(`the metadata is ${JSON.stringify(metadata)}`);
}

const FLEET = "projects/local/locations/local/registries/default/devices/fleet-0000";

/// A change of another program; the host's answer.
function changed(page, path, body) {
    return page.evaluate(async ([to, sent]) => {
        const headers = { authorization: `Bearer ${sessionStorage.getItem("switchbox-token")}`, "content-type": "application/json" };
        const response = await fetch(`/v1/${to}`, { method: to.includes("?") ? "PATCH" : "POST", headers, body: JSON.stringify(sent) });
        if (!response.ok) throw new Error(`the other change: ${response.status}`);
        return response.json();
    }, [path, body]);
}

/// The version that a whole config replaces is the one that was in force when the user began to write.
async function wholeConfig({ console, page }) {
    await console.open("#/device/fleet-00002?tab=twin", "fleet-00002");
    await page.getByLabel("JSON merge patch").waitFor();
    if ((await page.getByLabel("as a whole").count()) !== 0) throw new Error("there is no version to replace");
    await changed(page, `${FLEET}2:modifyCloudToDeviceConfig`, { binaryData: btoa('{"by":"another"}') });
    await page.getByLabel("as a whole, if version 1 is still in force").check();
    await page.getByLabel("The whole config").fill('{"by":"the console"}');
    await changed(page, `${FLEET}2:modifyCloudToDeviceConfig`, { binaryData: btoa('{"by":"another, again"}') });
    await console.text("Version 2 is in force now.");
    await console.click("Send");
    await page.getByRole("alert").waitFor();
    await page.getByLabel("desired", { exact: true }).filter({ hasText: "another, again" }).waitFor();
}

async function twinOfDevice({ console, page }) {
    await console.open("#/device/lamp-1?tab=twin", "lamp-1");
    await console.text("The reported document matches the desired one.");
    await page.getByLabel("JSON merge patch").fill('{"level": 40, "note": "<b>bold</b>"}');
    await console.click("Send");
    await page.getByRole("cell", { name: "/level" }).waitFor();
    const desired = page.getByLabel("desired", { exact: true });
    await desired.locator("ins").filter({ hasText: '"level": 40' }).waitFor();
    if ((await desired.locator("ins").filter({ hasText: "state" }).count()) !== 0) throw new Error("what is the same is marked");
    await console.picture("device");
}

/// A command that waits and is cancelled, a method call that fails, and a command that expires.
async function sendToOffline({ console, page }) {
    await console.open("#/device/lamp-2?tab=send", "lamp-2");
    await page.getByLabel("Command", { exact: true }).fill("<script>window.pwned=1</script>");
    await page.getByLabel("Time-to-live, seconds").fill("600");
    await console.click("Send command");
    const watched = page.getByRole("group", { name: "The command sent last" });
    await watched.getByText("waits for the device").waitFor();
    await console.click("cancel");
    await watched.getByText("It has ended").waitFor();
    await watched.getByText(/^queued .* → purged/).waitFor();
    await console.text("an operator removed it");
    await page.getByLabel("Method", { exact: true }).fill("dim");
    await console.click("Call");
    await page.getByRole("alert").filter({ hasText: "lamp-2" }).waitFor();
    await page.getByLabel("Command", { exact: true }).fill("too late");
    await page.getByLabel("Time-to-live, seconds").fill("0.2");
    await console.click("Send command");
    await watched.getByText("its time-to-live was over before the device took it").waitFor();
    await watched.getByRole("link", { name: "why?" }).click();
    await page.getByRole("list", { name: "Chain from the first cause" }).getByText("its time-to-live was over before the device took it").waitFor();
}

/// A command that is acknowledged, and a method call that is answered.
async function sendToConnected({ console, page, ask }) {
    await console.open("#/device/lamp-1?tab=send", "lamp-1");
    const watched = page.getByRole("group", { name: "The command sent last" });
    await page.getByLabel("Command", { exact: true }).fill("blink");
    await console.click("Send command");
    await watched.getByText("It has ended").waitFor();
    await watched.getByText(/^queued .* → sent .* → acknowledged/).waitFor();
    await watched.getByText("acknowledged", { exact: true }).waitFor();
    await page.getByLabel("Method", { exact: true }).fill("dim");
    await page.getByLabel("Payload", { exact: true }).fill("50");
    await console.click("Call");
    await ask("answer");
    await console.text("The device answered");
    await page.getByRole("status").filter({ hasText: "The device answered 200" }).getByLabel("payload").filter({ hasText: "<i>dimmed</i>" }).waitFor();
}

async function historyOfDevice({ console, page, ask }) {
    await console.open("#/device/lamp-1", "lamp-1");
    const gets = page.getByRole("group", { name: "Configs, commands and method calls, newest first" });
    await gets.getByRole("row").filter({ hasText: "command" }).filter({ hasText: "blink" }).filter({ hasText: "acknowledged" }).waitFor();
    await gets.getByRole("row").filter({ hasText: "method dim" }).filter({ hasText: "answered 200" }).filter({ hasText: "<i>dimmed</i>" }).filter({ hasText: "admin-token" }).waitFor();
    await gets.getByRole("row").filter({ hasText: "config 1" }).filter({ hasText: "plugin wake" }).waitFor();
    await console.open("#/device/lamp-2?tab=twin", "lamp-2");
    await page.getByLabel("JSON merge patch").fill('{"level": 1}');
    await console.click("Send");
    await console.text("The desired document was changed.");
    await console.open("#/device/lamp-1?tab=log", "lamp-1");
    await page.getByRole("list", { name: "Connections, newest first" }).getByText("connected", { exact: true }).first().waitFor();
    await console.open("#/device/switch-1", "switch-1");
    await page.getByText("live", { exact: true }).waitFor();
    const awake = page.getByRole("list", { name: "Events of the device, newest first" }).getByRole("link", { name: /telemetry.*awake/ });
    await awake.first().waitFor();
    const before = await awake.count();
    await ask("switch");
    await awake.nth(before).waitFor();
    await console.open("#/device/lamp-1?tab=rules", "lamp-1");
    await page.getByText("may set its config").first().waitFor();
}

/// A file that a device has uploaded, whose name is markup: downloaded as it is, then deleted.
async function files({ console, page }) {
    await console.open("#/device/fleet-00007?tab=files", "fleet-00007");
    const row = page.getByRole("group", { name: "Files" }).getByRole("row").filter({ hasText: "logs/<img src=x onerror=window.pwned=6>" });
    await row.filter({ hasText: "14 B" }).waitFor();
    await console.axe("files");
    const [download] = await Promise.all([page.waitForEvent("download"), row.getByRole("button", { name: "download" }).click()]);
    const text = fs.readFileSync(await download.path(), "utf8");
    if (text !== "it was too hot") throw new Error(`the file holds ${text}`);
    await row.getByRole("button", { name: "delete" }).click();
    await console.click("Delete");
    await console.text("It has uploaded none.");
}

async function live({ console, page, ask }) {
    const rows = page.getByRole("list", { name: "Events, newest first" }).getByRole("listitem");
    for (const [filters, shown] of [["kind=telemetry&text=AWAKE", /telemetry.*awake/], ["plugin=wake", /plugin.*wake.*config lamp-1/]]) {
        await console.open(`#/live?${filters}`, "Live");
        await page.getByText("live", { exact: true }).waitFor();
        await ask("switch");
        await rows.filter({ hasText: shown }).first().waitFor();
        // The executions of the same event come with it.
        const others = (await rows.allInnerTexts()).filter((text) => !shown.test(text.replaceAll("\n", " ")) && !(filters.startsWith("kind") && text.includes("plugin")));
        if (others.length) throw new Error(`#/live?${filters} shows ${others}`);
    }
    await console.open("#/live?device=switch-1", "Live");
    await page.getByText("live", { exact: true }).waitFor();
    await ask("switch");
    const line = page.getByRole("link", { name: /telemetry.*awake/ }).first();
    await line.waitFor();
    await line.click();
    await page.getByRole("heading", { level: 1, name: /^Why \d+\?$/ }).waitFor();
    await page.getByRole("list", { name: "Effects", exact: true }).getByText("acknowledged", { exact: true }).first().waitFor();
}

async function why({ console, page }) {
    await console.open("#/why/lamp-1", "Why lamp-1?");
    const chain = page.getByRole("list", { name: "Chain from the first cause" });
    await chain.getByText("plugin wake").waitFor();
    if ((await chain.getByRole("listitem").count()) !== 3) throw new Error("the chain has other steps than event, plugin, config");
    await console.picture("why");
    await chain.getByRole("link", { name: /^event / }).click();
    await console.text("none of its triggers matches");
    await console.open("#/why/lamp-2", "Why lamp-2?");
    await chain.getByText("an operator").waitFor();
    await page.getByText("It is not connected").first().waitFor();
    await console.open("#/why/nobody", "Why nobody?");
    await console.text("device nobody does not exist");
    await page.getByRole("heading", { name: "What can be explained" }).waitFor();
}

async function letters({ console, page }) {
    const pick = page.getByLabel(/^pick dead letter/);
    // The plugin rejects the event again, which is another dead letter.
    const replaced = async (id) => {
        await page.getByLabel(`pick dead letter ${id}`, { exact: true }).waitFor({ state: "detached" });
        await pick.first().waitFor();
    };
    const open = async () => {
        await page.getByRole("cell").getByRole("link").first().click();
        const heading = page.getByRole("heading", { level: 1, name: /^Dead letter / });
        return (await heading.innerText()).split(" ").at(-1);
    };
    await console.open("#/dead-letters", "Dead letters");
    await page.getByText("<img src=x onerror=window.pwned=2>").first().waitFor();
    const first = await open();
    await console.click("redrive");
    await console.text("The plugin handles the event again.");
    await console.heading("Dead letters");
    await replaced(first);
    await page.getByLabel("Select all on this page").check();
    await console.text(`${await pick.count()} picked`);
    await page.getByLabel("Select all on this page").uncheck();
    const second = (await pick.first().getAttribute("aria-label")).split(" ").at(-1);
    await pick.first().check();
    await page.getByRole("group", { name: "With the selected dead letters" }).getByRole("button", { name: "redrive" }).click();
    await console.text("Handled again: 1.");
    await replaced(second);
    await open();
    await console.click("purge");
    await console.click("Purge");
    await console.heading("Dead letters");
    await console.text("There are no dead letters: every event was handled.");
}

async function topics({ console, page }) {
    await console.open("#/topics?filter=hall/%23", "Topics");
    await page.getByText("live", { exact: true }).waitFor();
    await page.getByLabel("Topic", { exact: true }).fill("hall/<b>light</b>");
    await page.getByLabel("Payload", { exact: true }).fill("<img src=x onerror=window.pwned=3>");
    await page.getByLabel("retain it").check();
    await console.click("Publish");
    await page.locator(".tree summary").filter({ hasText: "<img src=x" }).first().click();
    await page.getByText("retained", { exact: true }).waitFor();
    await console.click("remove");
    await console.text("The retained message was removed.");
}

/// A dialog that was opened before another change saves nothing.
async function topicsOfAccount({ console, page }) {
    await changed(page, "serviceAccounts", { id: "wall", subscribe: ["news/#"] });
    await page.reload();
    await page.locator("summary").filter({ hasText: "wall" }).click();
    await console.click("topics");
    await page.getByRole("dialog").getByLabel("May publish to").fill("alerts/#");
    await changed(page, "serviceAccounts/wall?updateMask=subscribe", { subscribe: ["news/#", "weather/#"] });
    await console.click("Save");
    await console.text("Nothing was saved: it was changed after this dialog was opened.");
    await console.click("close");
}

async function access({ console, page }) {
    await console.open("#/access", "Access");
    await page.getByLabel("Name").first().fill("made-in-the-console");
    await console.click("Create a token");
    await page.getByRole("dialog").waitFor();
    await console.click("close");
    await page.getByRole("cell", { name: "made-in-the-console" }).waitFor();
    await console.click("reload");
    await page.getByRole("cell", { name: "POST /v1/tokens" }).first().waitFor();
    await topicsOfAccount({ console, page });
    const hub = page.getByRole("group", { name: "Gateways" }).getByRole("row").filter({ hasText: "hub-1" });
    await hub.filter({ hasText: "connected" }).getByRole("link", { name: "behind-1" }).nth(1).waitFor();
    await hub.getByRole("link", { name: "behind-1" }).first().click();
    await console.heading("behind-1");
    await page.getByRole("definition").getByRole("link", { name: "hub-1" }).first().waitFor();
}

async function graph({ console, page, ask }) {
    await ask("calling");
    await ask("answer");
    await console.open("#/device/lamp-1", "lamp-1");
    await page.getByRole("row").filter({ hasText: "method dim" }).filter({ hasText: "plugin caller" }).filter({ hasText: "answered 200" }).waitFor();
    await console.open("#/graph", "Graph");
    await page.getByRole("row").filter({ hasText: "calls-1" }).filter({ hasText: "caller" }).filter({ hasText: "lamp-1" }).filter({ hasText: "method call" }).waitFor();
    await page.getByRole("row").filter({ hasText: "switch-1" }).filter({ hasText: "lamp-1" }).filter({ hasText: "a minute" }).waitFor();
}

/// Markup where names and log lines stand: in addresses, in an id that is refused, and in what a plugin logs.
async function hostile({ console, page, ask }) {
    const markup = "<img src=x onerror=window.pwned=4>";
    for (const where of ["device/", "plugins/", "dead-letters/", "why/", "", "live?device=", "devices?search=", "topics?filter="]) {
        await page.evaluate((to) => { location.hash = to; }, `#/${where}${encodeURIComponent(markup)}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.waitForFunction(() => !document.body.innerText.includes("Loading …"));
        await console.safe(`#/${where}`);
    }
    await console.open("#/devices", "Devices");
    await console.click("New device");
    await page.getByRole("dialog").getByLabel("Id").fill(`a${markup}`);
    await console.click("Register");
    await page.getByRole("dialog").getByRole("alert").filter({ hasText: "<img" }).waitFor();
    await console.click("close");
    await ask("villain");
    await console.open("#/plugins/hostile", "hostile");
    await page.getByLabel("log lines").filter({ hasText: "<img/src=x/onerror=window.pwned=5>" }).first().waitFor();
    await console.open("#/plugins/hostile?all=yes", "hostile");
    await page.reload();
    await page.getByLabel("only with log lines or errors").and(page.locator(":not(:checked)")).waitFor();
    await page.evaluate(() => { location.hash = "#/dead-letters"; });
}

/// On a phone, no table has to be scrolled sideways, and no button or badge is broken in two.
async function fits(page, hash) {
    const [wide, broken] = await page.evaluate(() => {
        const all = (selector) => [...document.querySelectorAll(selector)];
        return [all(".scroll").filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.getAttribute("aria-label")), all("button, .badge").filter((one) => one.offsetHeight > 45).map((one) => one.textContent)];
    });
    if (wide.length || broken.length) throw new Error(`${hash} on a phone: wider than the page: ${wide}; broken in two: ${broken}`);
}

/// Pages with what others wrote on them, at two widths, in light and in dark.
async function everyPage({ console, page }) {
    for (const [viewport, colorScheme] of [[WIDE, "light"], [NARROW, "dark"]]) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        for (const [hash, title] of PAGES) {
            await console.open(hash, title);
            await page.waitForFunction(() => !document.body.innerText.includes("Loading …"));
            await console.axe(`${hash}, ${colorScheme}`);
            await console.safe(`${hash}, ${colorScheme}`);
            if (viewport === NARROW) await fits(page, hash);
        }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: "light" });
}

async function keyboard({ console, page }) {
    await console.open("#/overview", "Overview");
    // Where Tab begins depends on what had the focus last; the first stop of the document does not.
    const first = await page.evaluate(() => document.querySelector("a[href], button, input, select, textarea, [tabindex='0']").className);
    if (first !== "skip") throw new Error(`the first stop is no way past the navigation: ${first}`);
    await page.locator("a.skip").focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "main");
    await page.getByRole("link", { name: "Devices", exact: true }).first().focus();
    await page.keyboard.press("Enter");
    await console.heading("Devices");
    await page.waitForFunction(() => document.activeElement.tagName === "H1");
}

async function flood({ console, page, ask }) {
    await console.open("#/live", "Live");
    await page.getByText("live", { exact: true }).waitFor();
    await ask("flood");
    await console.text("A sample: at most 40 a second are shown");
    await ask("flood");
    const rows = await page.locator(".live li").count();
    if (rows > 300) throw new Error(`${rows} rows`);
    await console.picture("live");
    await console.click("pause");
    await page.getByText("paused", { exact: true }).waitFor();
    return page.locator("p.hint[role=status]").innerText();
}

async function restart({ console, page, ask }) {
    await console.open("#/overview", "Overview");
    // The browser has kept connections open without a call for longer than the host lets it: that is no problem.
    await console.text("Limits hit and clients refused since the host started");
    if ((await page.innerText("main")).includes("admin_head_time")) throw new Error("a connection without a call counts as a limit that was hit");
    await ask("stop");
    await page.getByRole("alert").filter({ hasText: "The host does not answer" }).waitFor();
    await ask("start");
    await console.text("The host has restarted.");
    await page.getByRole("definition").filter({ hasText: "10,011" }).waitFor();
}

async function readOnly({ console, page, readToken }) {
    await console.click("log out");
    await page.getByLabel("Token").waitFor();
    await console.logIn(readToken);
    await console.text("read-only");
    console.writes.length = 0;
    for (const [hash, title] of PAGES.filter(([, name]) => name !== "Access")) {
        await console.open(hash, title);
        await page.waitForFunction(() => !document.body.innerText.includes("Loading …"));
        const offered = await page.locator("main button.danger, main form.form button.main, main input[type=file]").count();
        if (offered) throw new Error(`${hash} offers what the token may not do`);
    }
    if (console.writes.length) throw new Error(`it wrote: ${console.writes}`);
    const status = await page.evaluate(async (token) => (await fetch("/v1/plugins/wake:disable", { method: "POST", body: "{}", headers: { authorization: `Bearer ${token}` } })).status, readToken);
    if (status !== 403) throw new Error(`the host answers ${status}`);
}

module.exports = { login, overview, devices, device, files, live, why, plugins, letters, whyNot, approvals, candidates, topics, access, graph, hostile, everyPage, keyboard, flood, restart, readOnly };
