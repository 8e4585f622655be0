// MQTT.js in a real browser: `mqttjs_browser.cjs URL COUNT`. A page, served on this machine, publishes COUNT messages in one go, as
// telemetry and on an ordinary topic, with QoS 0 and with QoS 1, over the WebSocket at URL. What is on the ordinary topic comes back to it.
//
// Says what it does, line by line; the first thing that is not as it should be ends it with code 1.

const fs = require("node:fs");
const http = require("node:http");
const { createRequire } = require("node:module");
const load = createRequire(process.env.NODE_FOLDER + "/x");
const { chromium } = load("playwright-core");

const [url, count] = [process.argv[2], Number(process.argv[3])];
const LIMIT = 60_000;

// Runs in the page.
async function inPage({ url, count, qos, limit }) {
    const connect = (clientId) => mqtt.connectAsync(url, { clientId, reconnectPeriod: 0, protocolVersion: 4 }, false);
    const client = await connect(`browser-${qos}`);
    const closed = new Promise((_, reject) => client.on("close", () => reject(new Error("the connection was closed"))));
    const watcher = await connect(`watcher-${qos}`);
    const seen = new Set();
    const all = new Promise((resolve) => {
        watcher.on("message", (_, payload) => {
            seen.add(payload.toString());
            if (seen.size === count / 2) resolve();
        });
    });
    await watcher.subscribeAsync(`burst/${qos}`, { qos });
    const payload = (n) => `${qos}-${n}-`.repeat(60).slice(0, 200);
    const sent = [];
    for (let n = 0; n < count; n += 1) sent.push(client.publishAsync(`/devices/browser-${qos}/events`, payload(n), { qos }));
    // Half as many, as a subscriber's queue holds a thousand.
    for (let n = 0; n < count / 2; n += 1) sent.push(client.publishAsync(`burst/${qos}`, payload(n), { qos }));
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`only ${seen.size} came back`)), limit));
    await Promise.race([Promise.all([...sent, all]), closed, late]);
    await Promise.race([Promise.all([client.endAsync(), watcher.endAsync()]), late]);
    return seen.size;
}

async function main() {
    const bundle = fs.readFileSync(load.resolve("mqtt").replace(/node_modules\/mqtt\/.*/, "node_modules/mqtt/dist/mqtt.min.js"));
    const server = http.createServer((request, response) => {
        const script = request.url === "/mqtt.js";
        response.setHeader("content-type", script ? "text/javascript" : "text/html");
        response.end(script ? bundle : "<!doctype html><title>MQTT</title><script src=/mqtt.js></script>");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
    const browser = await chromium.launchPersistentContext(process.env.PROFILE_FOLDER, {
        executablePath: process.env.CHROMIUM,
        args: flags.split(" "),
        timeout: LIMIT,
    });
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    for (const qos of [0, 1]) {
        const back = await page.evaluate(inPage, { url, count, qos, limit: LIMIT });
        if (back !== count / 2) throw new Error(`${back} came back`);
        console.log(`ok ${count} of QoS ${qos}`);
    }
    await browser.close();
    server.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
