// Signatures of UIKit, Darwin and Apple's Foundation that the agent app uses; nothing here runs.
import Foundation

@MainActor open class UIApplication: NSObject {
    open class var shared: UIApplication { fatalError() }
    open var isIdleTimerDisabled: Bool { get { false } set {} }
}

@MainActor open class UIDevice: NSObject {
    open class var current: UIDevice { fatalError() }
    open var systemVersion: String { fatalError() }
}

extension ProcessInfo {
    public enum ThermalState: Int, Sendable { case nominal, fair, serious, critical }
    public var thermalState: ThermalState { fatalError() }
    public var isLowPowerModeEnabled: Bool { fatalError() }
}

public func autoreleasepool<Result>(invoking body: () throws -> Result) rethrows -> Result {
    try body()
}

public struct mach_timebase_info_data_t {
    public var numer: UInt32 = 0
    public var denom: UInt32 = 0
    public init() {}
}
@discardableResult
public func mach_timebase_info(_ info: UnsafeMutablePointer<mach_timebase_info_data_t>) -> Int32 {
    fatalError()
}
public struct AppleClock: Sendable {}
public let CLOCK_UPTIME_RAW = AppleClock()
public func clock_gettime_nsec_np(_ clock: AppleClock) -> UInt64 { fatalError() }
public func sysctlbyname(
    _ name: UnsafePointer<CChar>, _ old: UnsafeMutableRawPointer?,
    _ oldLength: UnsafeMutablePointer<Int>?, _ new: UnsafeMutableRawPointer?, _ newLength: Int
) -> Int32 { fatalError() }
