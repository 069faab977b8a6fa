"""What the user asks for: models, inputs, options, scope. Read and refused before anything runs."""
