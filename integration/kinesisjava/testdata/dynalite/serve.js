// DynamoDB in memory, for the leases of the Kinesis Client Library. It prints the
// address that it has been given.
const server = require("dynalite")({ createTableMs: 0, updateTableMs: 0, deleteTableMs: 0 });
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
