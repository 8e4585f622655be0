// A device on azure-iot-device for Node, as its samples use it. Arguments: mqtt, ws, amqp or amqp-ws, the authority's certificate, the connection
// string, and perhaps the device's certificate and its key. Does and prints what azure_device.py does, and with a message what its text says, if that is reject or abandon.
const { readFileSync } = require('fs');
const path = require('path');
const modules = process.env.NODE_CLIENTS;
const load = (name) => require(path.join(modules, 'node_modules', name));
const { Client, Message } = load('azure-iot-device');
const { Mqtt, MqttWs } = load('azure-iot-device-mqtt');
const { Amqp, AmqpWs } = load('azure-iot-device-amqp');
const transports = { mqtt: Mqtt, ws: MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs };

const [transport, authority, connectionString, certificate, key] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));

async function main() {
    const client = Client.fromConnectionString(connectionString, transports[transport]);
    const read = (file) => readFileSync(file, 'utf8');
    await client.setOptions({ ca: read(authority), ...(key && { cert: read(certificate), key: read(key) }) });
    await client.open();
    let end;
    const ended = new Promise((resolve) => { end = resolve; });
    client.on('message', (message) => {
        const properties = Object.fromEntries(message.properties.propertyList.map(({ key, value }) => [key, value]));
        const data = message.getData().toString();
        const { messageId: id, to, contentType, correlationId } = message;
        say('c2d', { data, id, to, contentType, correlationId, properties });
        const settle = { abandon: 'abandon', reject: 'reject' }[data] ?? 'complete';
        client[settle](message, () => {});
    });
    for (const name of ['dim', 'end']) {
        client.onDeviceMethod(name, (request, response) => {
            say('method', { name, payload: request.payload });
            response.send(201, { got: request.payload }, () => { if (name === 'end') { end(); } });
        });
    }
    const message = new Message('{"deviceId":"sink-1","hops":1}');
    message.messageId = 'm-1';
    message.correlationId = 'c/1';
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('sev erity', 'a&b=c/é');
    await client.sendEvent(message);
    const twin = await client.getTwin();
    const report = (patch) => new Promise((resolve, reject) => {
        twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve()));
    });
    await report({ on: true, old: 1 });
    await report({ old: null, level: 3 });
    const { desired, reported } = await client.getTwin().then((found) => found.properties);
    say('twin', { twin: { desired: JSON.parse(JSON.stringify(desired)), reported: JSON.parse(JSON.stringify(reported)) } });
    twin.on('properties.desired', (patch) => say('desired', { patch }));
    say('ready');
    await ended;
    await client.close();
    say('ended');
    process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
