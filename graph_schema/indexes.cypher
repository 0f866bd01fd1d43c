// Indexes for people who query the graph by hand; kgrecall does not need them, and creates those that fit a graph when asked:
//   kgrecall neo4j indexes --store neo4j://HOST:7687

// Find items by words of their title:
//   CALL db.index.fulltext.queryNodes('item_title', 'lamp') YIELD node, score
CREATE FULLTEXT INDEX item_title IF NOT EXISTS FOR (n:Item) ON EACH [n.title];
CREATE FULLTEXT INDEX movie_title IF NOT EXISTS FOR (n:Movie) ON EACH [n.title];
CREATE FULLTEXT INDEX entity_name IF NOT EXISTS FOR (n:Entity) ON EACH [n.name];

// Newest events:
CREATE INDEX viewed_time IF NOT EXISTS FOR ()-[r:VIEWED]-() ON (r.time);
CREATE INDEX purchased_time IF NOT EXISTS FOR ()-[r:PURCHASED]-() ON (r.time);
CREATE INDEX rated_time IF NOT EXISTS FOR ()-[r:RATED]-() ON (r.time);

// Triples by the name of their relation:
CREATE INDEX related_relation IF NOT EXISTS FOR ()-[r:RELATED]-() ON (r.relation);

// Wait until they can be used:
CALL db.awaitIndexes(300);
