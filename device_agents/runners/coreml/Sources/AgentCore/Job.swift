import Foundation

/// A job's folder below `jobs` of the app's Documents: plan.json in, records out.
public struct Job: Sendable {
    public let folder: URL
    public let plan: Plan

    /// Raises `PlanError` where the plan is not that of this folder.
    public init(documents: URL, nonce: String) throws {
        folder = Self.jobs(documents).appendingPathComponent(nonce)
        plan = try Plan.decode(Data(contentsOf: folder.appendingPathComponent("plan.json")))
        guard plan.nonce == nonce else { throw PlanError.job(plan.nonce) }
    }

    /// The job that was copied last among those that are not complete; nil where there is none.
    public static func unfinished(documents: URL) -> String? {
        let keys: Set<URLResourceKey> = [.contentModificationDateKey]
        let folders = try? FileManager.default.contentsOfDirectory(
            at: jobs(documents), includingPropertiesForKeys: nil)
        let waiting = (folders ?? []).compactMap { folder -> (Date, String)? in
            let plan = folder.appendingPathComponent("plan.json")
            guard !isComplete(folder),
                let date = try? plan.resourceValues(forKeys: keys).contentModificationDate
            else { return nil }
            return (date, folder.lastPathComponent)
        }
        return waiting.max { $0.0 < $1.0 }?.1
    }

    /// Runs what is left of the job. `hello` tells the phone and the app; the plan completes it.
    public func run(
        backend: Backend, around: Surroundings, hello: Record,
        limits: RecordLog.Limits = RecordLog.Limits(), progress: (Int, Int) -> Void = { _, _ in }
    ) throws {
        var first = hello
        first.schemaVersion = 1
        first.nonce = plan.nonce
        first.backend = plan.backend
        first.threads = plan.threads
        let log = try RecordLog(folder, hello: first, limits: limits)
        if !log.earlier.contains(where: { $0.type == "bye" }) {
            let runner = Runner(
                plan: plan, backend: backend, around: around, earlier: log.earlier,
                emit: { try log.append($0) })
            try runner.run(progress: progress)
        }
        // Last: it tells that the job is complete.
        try log.join(to: Self.records(folder))
    }

    private static func jobs(_ documents: URL) -> URL { documents.appendingPathComponent("jobs") }
    private static func records(_ folder: URL) -> URL { folder.appendingPathComponent("records.jsonl") }
    private static func isComplete(_ folder: URL) -> Bool {
        FileManager.default.fileExists(atPath: records(folder).path)
    }
}
