"""How the embedded voice is made: corpus, teacher, training and export. Needs the extra ``[torch]``; nothing that serves imports it."""
