// DynamoDB in memory, for the leases of the Kinesis Client Library. It prints the
// address that it has been given.
const server = require("dynalite")({ createTableMs: 0, updateTableMs: 0, deleteTableMs: 0 });
// A worker that is killed in the middle of a request must not take this with it.
process.on("uncaughtException", (error) => {
  if (error.code !== "ECONNRESET") throw error;
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
