// MQTT.js against a running host: `mqttjs_client.cjs HOST PORT VERSION`, VERSION 4 (MQTT 3.1.1) or 5.
//
// Says what it does, line by line; the first thing that is not as it should be ends it with code 1. What an operator has
// to do meanwhile (send a command, call a method) it asks for with a line `WANT ...` on standard output, and a line on
// standard input says that it is done.

const fs = require("node:fs");
const { createRequire } = require("node:module");
const readline = require("node:readline");
const mqtt = createRequire(process.env.MQTTJS_FOLDER + "/x")("mqtt");

const [host, port, version] = process.argv.slice(2);
const five = version === "5";
// With TLS: whose certificates the host's must be of.
const ca = process.env.MQTTJS_CA && fs.readFileSync(process.env.MQTTJS_CA);
const name = `mqttjs-${version}`;
const LIMIT = 60_000;

const say = (text) => console.log(text);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function fail(error) {
    console.error(error);
    process.exit(1);
}
process.on("unhandledRejection", fail);

// A client that remembers what came.
async function connect(clientId, more = {}) {
    const client = await mqtt.connectAsync(
        { host, port: Number(port), protocol: process.env.MQTTJS_PROTOCOL || "mqtt", protocolVersion: five ? 5 : 4, clientId, reconnectPeriod: 0, ca, ...more },
        false,
    );
    client.came = [];
    client.on("message", (topic, payload, packet) => {
        client.came.push({ topic, text: payload.toString(), packet });
        client.emit("came");
    });
    // What arrives while it disconnects can no longer be acknowledged.
    client.on("error", (error) => client.disconnecting || fail(error));
    return client;
}

function expect(client, topic, text) {
    const look = () => client.came.find((m) => m.topic === topic && m.text.includes(text));
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited in vain for ${text} on ${topic}`)), LIMIT);
        const check = () => {
            const found = look();
            if (found) {
                clearTimeout(timer);
                client.off("came", check);
                resolve(found);
            }
        };
        client.on("came", check);
        check();
    });
}

async function subscribe(client, topic) {
    const granted = await client.subscribeAsync(topic, { qos: 1 });
    if (granted.some((g) => g.qos > 2)) throw new Error(`${topic} was refused`);
}

const record = (target, hops) =>
    JSON.stringify({ deviceId: target, registryId: "default", cloudRegion: "local", hops });

async function clientIds() {
    const full = "projects/local/locations/local/registries/default/devices/";
    for (const id of [`${name}-a`, `default/${name}-b`, `${full}${name}-c`]) {
        const client = await connect(id);
        await client.publishAsync(`/devices/${id.split("/").pop()}/events`, "hello", { qos: 1 });
        await client.endAsync();
    }
    say("ok three forms of client ids");
}

async function configs() {
    let sink = await connect(`${name}-sink`);
    const source = await connect(`${name}-source`);
    const topic = `/devices/${name}-sink/config`;
    await subscribe(sink, topic);
    for (const qos of [0, 1, 2]) {
        await source.publishAsync(`/devices/${name}-source/events`, record(`${name}-sink`, 10 * qos), { qos });
        await expect(sink, topic, `"hops":${10 * qos + 1}`);
    }
    say("ok telemetry with QoS 0, 1 and 2, and a config on each change");
    await sink.endAsync();
    sink = await connect(`${name}-sink`);
    await subscribe(sink, topic);
    await expect(sink, topic, `"hops":21`);
    say("ok config on subscribe");
    await source.publishAsync(`/devices/${name}-source/state`, '{"on":true}', { qos: 1 });
    say("ok state");
    await source.endAsync();
    await sink.endAsync();
}

async function commands() {
    const client = await connect(`${name}-lamp`);
    await subscribe(client, `/devices/${name}-lamp/commands/#`);
    say(`WANT command ${name}-lamp`);
    await expect(client, `/devices/${name}-lamp/commands/lights`, "blink");
    // Stays until the host has the acknowledgement.
    await lines.next();
    say("ok command");
    await client.endAsync();
}

async function methods() {
    const client = await connect(`${name}-lamp`);
    client.on("message", (topic, payload, packet) => {
        if (!topic.includes("/request/")) return;
        const parts = topic.split("/");
        const properties = packet.properties;
        if (five && properties?.responseTopic) {
            const { responseTopic, correlationData } = properties;
            client.publish(responseTopic, "blinked", { qos: 1, properties: correlationData ? { correlationData } : {} });
        } else {
            client.publish(`/devices/${name}-lamp/methods/${parts[4]}/response/${parts[6]}/200`, "blinked", { qos: 1 });
        }
    });
    await subscribe(client, `/devices/${name}-lamp/methods/#`);
    say(`WANT method ${name}-lamp`);
    // Stays until the operator has the answer.
    await lines.next();
    say("ok method");
    await client.endAsync();
}

async function ordinary() {
    const watcher = await connect(`${name}-watcher`);
    const other = await connect(`${name}-other`, { will: { topic: `${name}/will`, payload: "gone", qos: 1, retain: false } });
    await subscribe(watcher, `${name}/#`);
    await other.publishAsync(`${name}/plain`, "ping", { qos: 2 });
    await expect(watcher, `${name}/plain`, "ping");
    await other.publishAsync(`${name}/kept`, "still here", { qos: 1, retain: true });
    const live = await expect(watcher, `${name}/kept`, "still here");
    if (live.packet.retain) throw new Error("a live message came as retained");
    const late = await connect(`${name}-late`);
    await subscribe(late, `${name}/+`);
    const kept = await expect(late, `${name}/kept`, "still here");
    if (!kept.packet.retain) throw new Error("a retained message came as live");
    say("ok retained");
    other.stream.destroy();
    await expect(watcher, `${name}/will`, "gone");
    say("ok will");
    await Promise.all([watcher.endAsync(), late.endAsync()]);
}

async function main() {
    await clientIds();
    await ordinary();
    await configs();
    await commands();
    await methods();
    say("done");
    process.exit(0);
}

main().catch(fail);
