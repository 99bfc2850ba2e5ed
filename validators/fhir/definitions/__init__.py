"""What HL7's own definitions say of every type, made from them by `make`."""
