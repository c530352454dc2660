-- How many requests wait for the answer to a held one, as its proxy last said; after 'once', how many that let through.

ALTER TABLE held ADD COLUMN requests INTEGER CHECK (requests BETWEEN 1 AND 4096);
