// What the public samples for Cloud IoT Core do, with only their endpoints changed: the device that publishes its hops and gets
// its config back, the Cloud Function between (Google's own client library), and a gateway that speaks for a device.
// `iot_core_samples.cjs MQTT_PORT ADMIN_URL TOKEN FOLDER`; FOLDER has ca.pem, rsa_private.pem, and the keys' devices are hop-1 and hub.
//
// Says what it does, line by line; the first thing that is not as it should be ends it with code 1.

const crypto = require("node:crypto");
const fs = require("node:fs");
const { createRequire } = require("node:module");
const installed = createRequire(process.env.NODE_CLIENTS + "/x");
const mqtt = installed("mqtt");
const { google } = installed("googleapis");

const [port, admin, token, folder] = process.argv.slice(2);
const [projectId, region, registryId] = ["local", "local", "default"];
const registry = `projects/${projectId}/locations/${region}/registries/${registryId}`;
// Given to each call: this line of the library cuts a rootUrl of the whole client by its length.
const endpoint = { rootUrl: `${admin}/` };
const say = (text) => console.log(text);
const fail = (error) => {
    console.error(error);
    process.exit(1);
};
process.on("unhandledRejection", fail);
setTimeout(() => fail(new Error("it took more than a minute")), 60_000).unref();

function jwt() {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const now = Math.floor(Date.now() / 1000);
    const text = `${part({ alg: "RS256", typ: "JWT" })}.${part({ iat: now, exp: now + 20 * 60, aud: projectId })}`;
    const key = fs.readFileSync(`${folder}/rsa_private.pem`);
    return `${text}.${crypto.sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")}`;
}

// As each of the samples connects.
function connect(deviceId) {
    const client = mqtt.connect({
        host: "127.0.0.1",
        port: Number(port),
        clientId: `${registry}/devices/${deviceId}`,
        username: "unused",
        password: jwt(),
        protocol: "mqtts",
        secureProtocol: "TLSv1_2_method",
        ca: [fs.readFileSync(`${folder}/ca.pem`)],
        reconnectPeriod: 0,
    });
    client.came = [];
    client.on("message", (topic, message) => {
        client.came.push({ topic, text: message.toString() });
        client.emit("came");
    });
    // What arrives while it disconnects can no longer be acknowledged.
    client.on("error", (error) => client.disconnecting || fail(error));
    return new Promise((resolve) => client.on("connect", () => resolve(client)));
}

function expect(client, fits) {
    return new Promise((resolve) => {
        const look = () => {
            const found = client.came.find(fits);
            if (found) resolve(found);
        };
        client.on("came", look);
        look();
    });
}

// The Cloud Function: one message of Pub/Sub, one config.
function relayCloudIot(message) {
    const record = JSON.parse(Buffer.from(message.data, "base64").toString());
    const hops = record.hops + 1;
    const config = { cloudRegion: record.cloudRegion, deviceId: record.deviceId, registryId: record.registryId, hops };
    const auth = new google.auth.OAuth2();
    auth.setCredentials({ access_token: token });
    const client = google.cloudiot({ version: "v1", auth });
    return client.projects.locations.registries.devices.modifyCloudToDeviceConfig({
        name: `projects/${projectId}/locations/${record.cloudRegion}/registries/${record.registryId}/devices/${record.deviceId}`,
        versionToUpdate: 0,
        binaryData: Buffer.from(JSON.stringify(config)).toString("base64"),
    }, endpoint);
}

// What Pub/Sub is there: telemetry as it comes.
async function* telemetry() {
    const answer = await fetch(`${admin}/v1/events:follow?kind=telemetry`, { headers: { authorization: `Bearer ${token}` } });
    let text = "";
    for await (const bytes of answer.body) {
        text += Buffer.from(bytes).toString();
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
            const data = text.slice(0, end).split("\n").find((line) => line.startsWith("data: "));
            text = text.slice(end + 2);
            // The first message says that the stream has begun.
            yield data ? { data: JSON.parse(data.slice(6)).binaryData, device: JSON.parse(data.slice(6)).device } : null;
        }
    }
}

async function device() {
    const events = telemetry();
    await events.next();
    const client = await connect("hop-1");
    await client.subscribeAsync("/devices/hop-1/config", { qos: 1 });
    let hops = 1;
    for (let round = 0; round < 3; round += 1) {
        const payload = { cloudRegion: region, deviceId: "hop-1", registryId, hops };
        await client.publishAsync("/devices/hop-1/events", JSON.stringify(payload), { qos: 1 });
        const { value: event } = await events.next();
        const answer = await relayCloudIot(event);
        if (answer.data.version !== String(round + 1)) throw new Error(`version ${answer.data.version}`);
        const wanted = JSON.stringify({ ...payload, hops: hops + 1 });
        await expect(client, (message) => message.topic === "/devices/hop-1/config" && message.text === wanted);
        hops += 1;
    }
    await client.endAsync();
    await events.return();
    say("ok device");
}

// The library's other ways of saying the same, each as a call of its own.
async function library() {
    const auth = new google.auth.OAuth2();
    auth.setCredentials({ access_token: token });
    const client = google.cloudiot({ version: "v1", auth });
    const { devices } = client.projects.locations.registries;
    await devices.create({ parent: registry, requestBody: { id: "made" } }, endpoint);
    await devices.create({ parent: registry, id: "made-2", blocked: true }, endpoint);
    const name = `${registry}/devices/made-2`;
    const changed = await devices.patch({ name, updateMask: "blocked", blocked: false }, endpoint);
    if (changed.data.blocked !== false) throw new Error(`blocked: ${changed.data.blocked}`);
    const binaryData = Buffer.from("x").toString("base64");
    await devices.modifyCloudToDeviceConfig({ name, resource: { versionToUpdate: "0", binaryData } }, endpoint);
    const listed = await devices.list({ parent: registry, deviceIds: ["made", "made-2"] }, endpoint);
    if (listed.data.devices.length !== 2) throw new Error(`${listed.data.devices.length} devices`);
    const parent = registry;
    await client.projects.locations.registries.bindDeviceToGateway({ parent, gatewayId: "hub", deviceId: "made" }, endpoint);
    await devices.delete({ name }, endpoint);
    say("ok library");
}

async function gateway() {
    const client = await connect("hub");
    await client.subscribeAsync("/devices/hub/config", { qos: 1 });
    await client.subscribeAsync("/devices/hub/commands/#", { qos: 0 });
    await client.subscribeAsync("/devices/hub/errors", { qos: 0 });
    await client.publishAsync("/devices/lamp-1/attach", '{"authorization" : ""}', { qos: 1 });
    await client.subscribeAsync("/devices/lamp-1/config", { qos: 1 });
    await client.publishAsync("/devices/lamp-1/events", "from behind the gateway", { qos: 1 });
    await client.publishAsync("/devices/lamp-1/state", "on", { qos: 1 });
    await client.publishAsync("/devices/lamp-1/detach", "{}", { qos: 1 });
    await client.publishAsync("/devices/unbound/attach", "{}", { qos: 1 });
    await expect(client, ({ topic, text }) => topic === "/devices/hub/errors" && text.includes("GATEWAY_ATTACHMENT_ERROR"));
    await client.endAsync();
    say("ok gateway");
}

device().then(library).then(gateway).then(() => {
    say("done");
    process.exit(0);
}, fail);
