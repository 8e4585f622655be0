// A program on azure-iothub that sends messages to devices and prints the feedback, one JSON line each. Arguments: the connection string, and the
// messages as JSON: [{to, id, data, ack, expiresInMs, properties}]; and `ws` for AMQP over WebSocket.
const path = require('path');
const load = (name) => require(path.join(process.env.NODE_CLIENTS, 'node_modules', name));
const { Client, AmqpWs } = load('azure-iothub');
const { Message } = load('azure-iot-common');

const [connectionString, messages, transport] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));

async function main() {
    const client = Client.fromConnectionString(connectionString, ...(transport === 'ws' ? [AmqpWs] : []));
    await client.open();
    const receiver = await new Promise((resolve, reject) => {
        client.getFeedbackReceiver((error, found) => (error ? reject(error) : resolve(found)));
    });
    receiver.on('message', (message) => {
        for (const record of JSON.parse(message.getData().toString())) { say('feedback', { record, kind: message.contentType }); }
    });
    const files = await new Promise((resolve, reject) => {
        client.getFileNotificationReceiver((error, found) => (error ? reject(error) : resolve(found)));
    });
    files.on('message', (message) => say('file', JSON.parse(message.getData().toString())));
    for (const { to, id, data, ack, expiresInMs, properties } of JSON.parse(messages)) {
        const message = new Message(data);
        message.messageId = id;
        message.ack = ack;
        message.contentType = 'text/plain';
        message.contentEncoding = 'utf-8';
        message.correlationId = '1d2f3a40-0000-4000-8000-0123456789ab';
        if (expiresInMs) { message.expiryTimeUtc = Date.now() + expiresInMs; }
        for (const [key, value] of Object.entries(properties ?? {})) { message.properties.add(key, value); }
        try {
            await client.send(to, message);
            say('sent', { id });
        } catch (error) {
            say('refused', { id, name: error.name, text: String(error.message) });
        }
    }
    say('ready');
}

main().catch((error) => { console.error(error); process.exit(1); });
