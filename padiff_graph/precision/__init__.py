"""What two models would compute in half precision, and where their precisions part."""
