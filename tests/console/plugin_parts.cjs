// The parts of the test that are about plugins; parts.cjs says in which order they run.

async function plugins({ console, page }) {
    await console.open("#/plugins", "Plugins");
    await page.getByRole("cell", { name: "running" }).first().waitFor();
    await console.click("hop-relay");
    await page.getByLabel("Name", { exact: true }).fill("relay");
    await console.click("Start");
    await console.heading("relay");
    await page.getByText("running", { exact: true }).waitFor();
    await page.getByRole("group", { name: "Versions, the newest first" }).getByText("in force", { exact: true }).waitFor();
    await console.click("disable");
    await page.getByText("disabled", { exact: true }).waitFor();
    // One is uploaded, and removed.
    await console.open("#/plugins", "Plugins");
    await page.locator("input[type=file]").setInputFiles({ name: "uploaded.toml", mimeType: "application/toml", buffer: Buffer.from('component = "builtin:hop-relay"\nenabled = false\n') });
    await console.click("Upload");
    await console.heading("uploaded");
    await page.getByText("disabled", { exact: true }).waitFor();
    await console.click("remove");
    await console.click("Remove");
    await console.heading("Plugins");
    await console.open("#/plugins/wake", "wake");
    const target = page.getByLabel("target");
    if ((await target.inputValue()) !== "lamp-1") throw new Error(`the form shows ${await target.inputValue()}`);
    await page.getByLabel("Device, topic or name of the timer").fill("switch-1");
    await page.getByLabel("Data", { exact: true }).fill('{"state":"awake"}');
    await console.click("Try");
    await page.getByText("Result: done").waitFor();
    await page.getByText("device: lamp-1").first().waitFor();
    // What is typed stays, however often the page reads the plugin again meanwhile.
    await target.fill("lamp-2");
    for (let n = 0; n < 2; n += 1) await page.waitForResponse(/\/v1\/plugins\/wake$/);
    await console.click("Save");
    await page.waitForFunction(() => [...document.querySelectorAll("code")].some((one) => one.textContent.includes("config lamp-2")));
    // A form with titles, bounds and help, as the component's schema says.
    await console.open("#/plugins/heat", "heat");
    const hysteresis = page.getByLabel("Hysteresis, °C");
    const held = await hysteresis.evaluate((input) => [input.type, input.min, input.max, input.value]);
    if (JSON.stringify(held) !== '["number","0.01","9.9","0.5"]') throw new Error(`the field is ${held}`);
    await console.text("The heater is switched on this much below the desired temperature");
    await console.picture("plugin");
    await hysteresis.fill("12");
    await console.click("Save");
    if (await hysteresis.evaluate((input) => input.validity.valid)) throw new Error("12 is taken");
    await hysteresis.fill("0.7");
    await console.click("Save");
    await console.click("roll back to it");
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((one) => one.name === "hysteresis" && one.value === "0.5"));
}

/// What kept something from happening: a grant, a rate, that the plugin is disabled.
async function whyNot({ console, page, ask }) {
    const denied = await ask("deny");
    await console.open(`#/why/${denied}`, `Why ${denied}?`);
    await page.getByText(/denied/).first().waitFor();
    await page.locator(".box").filter({ hasText: "plugin narrow" }).getByRole("button", { name: "try it on this event" }).first().click();
    await page.getByText("Grants denied: config lamp-2").first().waitFor();
    await page.locator("dd").filter({ hasText: "it is disabled" }).first().waitFor();
    await ask("slow");
    await console.open("#/device/lamp-3", "lamp-3");
    await page.getByRole("group", { name: "Configs, commands and method calls, newest first" }).getByText("config 6", { exact: true }).waitFor();
    await console.open("#/why/lamp-3", "Why lamp-3?");
    await page.getByText(/^held back for \d+ ms$/).first().waitFor();
    await console.text(/rate-per-target/);
    // The missing grant is given.
    await console.open("#/plugins/narrow", "narrow");
    const grants = page.getByRole("region", { name: "Grants", exact: true });
    await grants.getByText("not granted", { exact: true }).waitFor();
    await grants.getByLabel("config lamp-2").check();
    await grants.getByRole("button", { name: "Grant the selected entries" }).click();
    await grants.getByText("in force", { exact: true }).waitFor();
}

/// Effects on too many targets: one event's are approved, the other's rejected.
async function approvals({ console, page, ask }) {
    await ask("many");
    await console.open("#/overview", "Overview");
    await page.getByRole("link", { name: "The effects of 2 events wait for approval" }).click();
    await console.heading("Approvals");
    const waiting = page.getByRole("region", { name: /^\d+\.fleet$/ });
    await waiting.nth(1).waitFor();
    const [first, second] = (await waiting.getByRole("heading", { level: 2 }).allInnerTexts()).map((id) => page.getByRole("region", { name: id, exact: true }));
    await first.getByText(/max-targets-per-event: 2 targets/).waitFor();
    for (const text of ["device: lamp-2", "device: lamp-3", "payload: <img src=x onerror=window.pwned=2>"]) await first.getByText(text).first().waitFor();
    await console.axe("approvals that wait");
    await console.safe("approvals that wait");
    await first.getByRole("link", { name: /^event \d+$/ }).click();
    await page.getByRole("heading", { level: 1, name: /^Why \d+\?$/ }).waitFor();
    await page.getByRole("link", { name: "wait for an operator's approval" }).click();
    await console.heading("Approvals");
    if (!page.url().includes("plugin=fleet")) throw new Error(`the filter is not in the address: ${page.url()}`);
    await first.getByRole("button", { name: "approve" }).click();
    await first.waitFor({ state: "detached" });
    await second.getByRole("button", { name: "reject" }).click();
    await page.getByLabel("Reason (it is kept with the dead letter)").fill("the <b>wrong</b> floor");
    await console.click("Reject");
    await console.text("Nothing waits for approval.");
    await console.open("#/why/lamp-2", "Why lamp-2?");
    await page.getByRole("list", { name: "Chain from the first cause" }).getByText("plugin fleet").waitFor();
    await console.open("#/dead-letters?plugin=fleet", "Dead letters");
    await page.getByText(/the <b>wrong<\/b> floor/).first().waitFor();
    await console.click("purge all of fleet");
    await console.click("Purge");
    await console.text("fleet has no dead letters.");
}

/// A candidate is compared, then acts for some devices, then for all; what differs is shown, and the version before comes back.
async function candidates({ console, page, ask }) {
    const candidate = 'component = "builtin:switch-wakes-device"\n[settings]\ntarget = "lamp-3"\n';
    await console.open("#/plugins/wake", "wake");
    const shadow = page.getByRole("region", { name: "Shadow", exact: true });
    await shadow.getByText("Start a shadow").click();
    const settings = (of) => of.getByLabel("Settings file (TOML)").and(page.locator("textarea"));
    await page.waitForFunction(() => [...document.querySelectorAll("textarea[name=settings]")].every((one) => one.value.includes("builtin:switch-wakes-device")));
    await shadow.getByRole("button", { name: "Start the shadow" }).click();
    await shadow.getByRole("alert").filter({ hasText: "name another component, other settings, or both" }).waitFor();
    await settings(shadow).fill(candidate);
    await shadow.getByRole("button", { name: "Start the shadow" }).click();
    await shadow.getByText("running", { exact: true }).waitFor();
    await ask("switch");
    await shadow.getByText("1: 0 equal, 1 different").waitFor();
    const example = shadow.getByRole("group", { name: "Events that it handled differently" }).getByRole("row").filter({ hasText: "switch-1" });
    await example.filter({ hasText: "lamp-2" }).filter({ hasText: "lamp-3" }).waitFor();
    await console.axe("a shadow that differs");
    await shadow.getByRole("button", { name: "stop the shadow" }).click();
    await shadow.getByText("ended", { exact: true }).waitFor();
    const canary = page.getByRole("region", { name: "Canary", exact: true });
    const begin = async (which) => {
        await canary.getByText(/^Start (a|another) canary$/).click();
        await settings(canary).fill(candidate);
        await canary.getByLabel("It acts for").selectOption("devices");
        await canary.getByLabel("Percent or pattern").fill(which);
        await canary.getByRole("button", { name: "Start the canary" }).click();
        await canary.getByText("running", { exact: true }).waitFor();
    };
    await begin("lab-*");
    await canary.getByText("lab-*", { exact: true }).waitFor();
    await canary.getByRole("button", { name: "abort" }).click();
    await canary.getByText("aborted").waitFor();
    await begin("lab-*");
    await canary.getByRole("button", { name: "act for 50 %" }).click();
    await canary.getByText("50 % of the devices").waitFor();
    if (await canary.getByRole("button", { name: "act for 25 %" }).count()) throw new Error("a smaller share is offered as the next step");
    await canary.getByRole("button", { name: "act for 100 %" }).click();
    await canary.getByText("100 % of the devices").waitFor();
    await ask("switch");
    await canary.getByText(/^1: 0 traps/).waitFor();
    await console.axe("a canary");
    await canary.getByRole("button", { name: "put in force for all" }).click();
    await page.getByRole("region", { name: "Under guard" }).waitFor();
    const differences = page.getByRole("region", { name: "Differences", exact: true }).getByLabel("differences of the settings files");
    await differences.locator("del").filter({ hasText: "lamp-2" }).waitFor();
    await differences.locator("ins").filter({ hasText: "lamp-3" }).waitFor();
    await console.axe("two versions");
    await console.click("roll back to it");
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((one) => one.name === "target" && one.value === "lamp-2"));
    await failedInForce(page);
}

/// A version that failed its guard and stays in force is not said to be rolled back.
async function failedInForce(page) {
    const versions = /\/v1\/plugins\/wake\/versions$/;
    await page.route(versions, async (route) => {
        const response = await route.fetch();
        const json = await response.json();
        json.versions.find((one) => one.inForce).rolledBack = { why: "it trapped", time: "2026-01-01T00:00:00.000Z", stays: true };
        await route.fulfill({ response, json });
    });
    const row = page.getByRole("row").filter({ hasText: "it trapped" });
    await row.getByText(/failed its guard/).waitFor();
    if (await row.getByText(/rolled back/).count()) throw new Error("a version that stays in force is said to be rolled back");
    await page.unroute(versions);
}

module.exports = { plugins, whyNot, approvals, candidates };
