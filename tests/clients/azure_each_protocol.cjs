// A device that loses nothing. Arguments: mqtt, ws, http, amqp, amqp-ws (Azure's SDK for Node) or iot-core (MQTT.js), the authority's certificate,
// the connection string (for iot-core: host name, device id and token, joined by blanks), how many events to send. Sends them one after the
// other, each until it is acknowledged, takes commands, and connects again whenever the connection ends. Prints each acknowledged event and
// each command, one JSON line each.
const { readFileSync } = require('fs');
const path = require('path');
const load = (name) => require(path.join(process.env.NODE_CLIENTS, 'node_modules', name));

const [protocol, authority, identity, count] = process.argv.slice(2);
const ca = readFileSync(authority, 'utf8');
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function transport() {
    switch (protocol) {
        case 'http': return load('azure-iot-device-http').Http;
        case 'amqp': return load('azure-iot-device-amqp').Amqp;
        case 'amqp-ws': return load('azure-iot-device-amqp').AmqpWs;
        case 'ws': return load('azure-iot-device-mqtt').MqttWs;
        default: return load('azure-iot-device-mqtt').Mqtt;
    }
}

// Returns how to send one event.
async function azure() {
    const { Client, Message } = load('azure-iot-device');
    const { NoRetry } = load('azure-iot-common');
    const type = transport();
    let client;
    const connect = async () => {
        client = Client.fromConnectionString(identity, type);
        client.setRetryPolicy(new NoRetry());
        const own = client;
        let again = false;
        const lost = () => {
            if (again || own !== client) { return; }
            again = true;
            own.removeAllListeners();
            own.on('error', () => {});
            own.close(() => {});
            setTimeout(() => connect().catch(() => {}), 300);
        };
        client.on('error', lost);
        client.on('disconnect', lost);
        try {
            const options = { ca, http: { receivePolicy: { interval: 1, drain: true } } };
            await new Promise((resolve, reject) => {
                client.setOptions(options, (error) => (error ? reject(error) : resolve()));
            });
            // Before it connects: what the host sends again to a kept session comes at once.
            client.on('message', (message) => {
                say('moved', { data: message.getData().toString() });
                own.complete(message, () => {});
            });
            await client.open();
        } catch (error) {
            lost();
            throw error;
        }
    };
    await connect();
    return (text) => client.sendEvent(new Message(text));
}

async function iotCore() {
    const [host, clientId, password] = identity.split(' ');
    const options = { clientId, username: 'unused', password, ca, reconnectPeriod: 300, queueQoSZero: false };
    const client = await load('mqtt').connectAsync(`mqtts://${host}:8883`, options);
    client.on('error', () => {});
    client.on('message', (_, payload) => say('moved', { data: payload.toString() }));
    await client.subscribeAsync(`/devices/${clientId}/commands/#`, { qos: 1 });
    return (text) => client.publishAsync(`/devices/${clientId}/events`, text, { qos: 1 });
}

async function main() {
    const send = await (protocol === 'iot-core' ? iotCore() : azure());
    say('ready');
    for (let n = 0; n < Number(count); n += 1) {
        const text = `${protocol} ${n}`;
        for (;;) {
            const late = pause(10_000).then(() => { throw new Error('no acknowledgement'); });
            try {
                await Promise.race([send(text), late]);
                break;
            } catch {
                await pause(200);
            }
        }
        say('sent', { data: text });
        await pause(100);
    }
}

process.on('unhandledRejection', () => {});
process.on('uncaughtException', (error) => console.error(error));
main().catch((error) => { console.error(error); process.exit(1); });
