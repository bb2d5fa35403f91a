"""How the embedded voice is made, from text to files. Needs the extra ``[torch]``; nothing that serves imports it."""
