// A device on azure-iot-device for Node over HTTPS. Arguments: the authority's certificate, the connection string, and perhaps the device's certificate and
// its key. Sends telemetry, alone and
// several in one call, then prints each message that it fetches, one JSON line each, and does with it what the message says.
const { readFileSync } = require('fs');
const path = require('path');
const modules = process.env.NODE_CLIENTS;
const load = (name) => require(path.join(modules, 'node_modules', name));
const { Client, Message } = load('azure-iot-device');
const { Http } = load('azure-iot-device-http');

const [authority, connectionString, certificate, key] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));

async function main() {
    const client = Client.fromConnectionString(connectionString, Http);
    await new Promise((resolve, reject) => {
        const read = (file) => readFileSync(file, 'utf8');
        const proof = key && { cert: read(certificate), key: read(key) };
        const options = { ca: read(authority), ...proof, http: { receivePolicy: { interval: 1 } } };
        client.setOptions(options, (error) => (error ? reject(error) : resolve()));
    });
    await client.open();
    client.on('error', (error) => say('error', { text: String(error), body: error.responseBody }));
    const message = new Message('{"deviceId":"sink-1","hops":1}');
    message.messageId = 'm-1';
    message.correlationId = 'c/1';
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('severity', 'a&b=c');
    await client.sendEvent(message);
    const several = ['{"n":1}', '{"n":2}'].map((text) => new Message(text));
    several[1].properties.add('second', 'yes');
    await client.sendEventBatch(several);
    say('sent');
    client.on('message', (fetched) => {
        const data = fetched.getData().toString();
        const properties = Object.fromEntries(fetched.properties.propertyList.map(({ key, value }) => [key, value]));
        const told = { data, id: fetched.messageId, to: fetched.to, token: fetched.lockToken, properties };
        const settle = { abandon: 'abandon', reject: 'reject' }[data] ?? 'complete';
        client[settle](fetched, (error, result) => {
            say('c2d', { ...told, settled: error ? String(error) : result.constructor.name });
            if (data !== 'twice') { return; }
            client.complete(fetched, (again) => say('again', { status: again?.response?.statusCode, body: again?.responseBody }));
        });
    });
    say('ready');
}

main().catch((error) => { console.error(error); process.exit(1); });
