// Package kinesis has the messages of the Kinesis Data Streams API (2013-12-02):
// a structure for the request and response of each action, how they are read and
// written in JSON and CBOR, and the constraints on their values.
//
// All of it is generated from the API's model: see modelgen. Names are those of the
// model. Members that are not lists, maps or blobs are pointers, nil where they are
// absent; an empty blob is not nil. Blobs of a decoded request lie in its body.
package kinesis
